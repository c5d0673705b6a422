"""One activation that this runner works on: its state as far as known, and its appends one after the other."""

import asyncio
from collections.abc import Sequence

from penstock.domain.execution.commands import AnyCommand
from penstock.domain.execution.facts import AnyFact, Enqueued
from penstock.domain.execution.state import Execution
from penstock.domain.function.options import FunctionSpec
from penstock.handle import handle
from penstock.ports import Clock, Dice, ExecutionLog, Item, Unavailable
from penstock_runner.workers.assignment import Assignment

RETRY_SECONDS = 0.5


class Activity:
    """`state` and `first` are there from the moment it is started; `assignment` while user code runs."""

    __slots__ = (
        "_writing",
        "activation",
        "assignment",
        "checked",
        "first",
        "item",
        "spec",
        "state",
        "task",
        "touched",
    )

    def __init__(self, item: Item, spec: FunctionSpec, now: float) -> None:
        self.item = item
        self.spec = spec
        self.touched = now
        """When the server last heard that the item is worked on (the loop's clock)."""
        self.checked = now
        """When its last fact was last looked at."""
        self.activation = 0
        self.first: Enqueued
        self.state: Execution
        self.assignment: Assignment | None = None
        self.task: asyncio.Task[None] | None = None
        self._writing: asyncio.Future[None] | None = None

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
