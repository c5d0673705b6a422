"""One activation that this runner works on: its state as far as known, and its appends one after the other."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from penstock.domain.execution.commands import AnyCommand
from penstock.domain.execution.facts import AnyFact, Enqueued
from penstock.domain.execution.state import Execution
from penstock.domain.function.options import FunctionSpec
from penstock.functions.actions import ReportProgress
from penstock.handle import handle
from penstock.ports import Clock, Dice, ExecutionLog, Item, Unavailable
from penstock.service.concern import Concern
from penstock_runner.workers.assignment import Assignment

logger = structlog.get_logger("penstock")
T = TypeVar("T")

RETRY_SECONDS = 0.5


async def until_answered(act: Callable[[], Awaitable[T]]) -> T:
    """What `act` answers, tried again while the log is away: that is no fault of user code, and must not fail it.

    The attempt's time-out still holds. `act` may be carried out twice, so it has to mean the same thing each time.
    """
    while True:
        try:
            return await act()
        except Unavailable as error:
            logger.warning("request_waits", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)


class Activity:
    """`state` and `first` are there from the moment it is started; `assignment` while user code runs."""

    __slots__ = (
        *("_numbers", "_writing", "activation", "assignment", "awaited", "background", "checked", "concern", "ended"),
        *("first", "item", "keeping", "progress", "progress_due", "snapshot", "spec", "state", "task", "touched"),
        "woken_at",
    )

    def __init__(self, item: Item, spec: FunctionSpec, now: float, concern: Concern | None = None) -> None:
        self.item = item
        self.spec = spec
        self.concern = concern if concern is not None else Concern(item.execution_id, item.function)
        """What lines about it carry."""
        self.touched = now
        """When the server last heard that the item is worked on (the loop's clock)."""
        self.checked = now
        """When its last fact was last looked at."""
        self.activation = 0
        self.first: Enqueued
        self.state: Execution
        self.assignment: Assignment | None = None
        self.task: asyncio.Task[None] | None = None
        self.awaited: set[str] = set()
        """Operations that the code waits for and has not been told about."""
        self.woken_at = 0
        """When this activation was started (microseconds): events since then count for its waits."""
        self.progress: ReportProgress | None = None
        """Reported, and not stored yet."""
        self.progress_due = 0.0
        self.background: set[asyncio.Task[None]] = set()
        self.snapshot = 0
        """Number of the fact at which its stored snapshot stands; 0 when it has none."""
        self.keeping: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()
        self._numbers = itertools.count(1)
        self._writing: asyncio.Future[None] | None = None

    def next_number(self) -> int:
        """A number that this activity has not used."""
        return next(self._numbers)

    async def carry_out(self, log: ExecutionLog, command: AnyCommand, clock: Clock, dice: Dice) -> Sequence[AnyFact]:
        """Append what follows from the command, over the state known, and answer with the facts.

        Steps that end at the same time wait for each other here: a history has one writer at a time. What user code has
        done must not be lost because the log is away for a while, so this tries until it answers. Raises Rejected.
        """
        while self._writing is not None:
            await self._writing
        self._writing = asyncio.get_running_loop().create_future()
        try:
            while True:
                try:
                    handled = await handle(
                        log, self.state.id, command, clock, dice, function=self.state.function, state=self.state
                    )
                except Unavailable:
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                self.state = handled.state
                return handled.facts
        finally:
            writing, self._writing = self._writing, None
            writing.set_result(None)

    def learn(self, state: Execution) -> None:
        """Take over a state read from the log, unless an append of ours is under way and will bring a newer one."""
        if self._writing is None and state.sequence > self.state.sequence:
            self.state = state
