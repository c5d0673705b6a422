"""Slow repair: what no message will ever ask for again. It compares the agenda with leases, timers and the clock.

Every decision is a conditional append, so that any number of copies may sweep at once.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import LoseAttempt
from penstock.handle import handle
from penstock.ports import Clock, Dice, ExecutionLog, Leases, Timers, Unavailable
from penstock.service.concern import concerning
from penstock.wire.names import START_WAIT, wait_token
from penstock_scheduler.agenda import Agenda, Entry
from penstock_scheduler.wakeups import Waker

logger = structlog.get_logger("penstock")

PERIOD_SECONDS = 2.0
DISCARD_SECONDS = 0.25
"""Gap between two looks for what has not started in time."""
LATE_SECONDS = 3.0
"""A wake-up comes 0.1 to 0.25 s after its time. What is later than this has lost it."""
REPAIRS_MAX = 500
"""Executions of one kind repaired in one round; the rest has to wait for the next."""
LOOKS_MAX = 200
"""Wake-ups looked for in one round."""
CLEARS_MAX = 200
"""Wake-ups removed in one round, at about a millisecond each."""
PURGE_ROUNDS = 5


class WakeUpTable(Timers, Protocol):
    """Timers that can be looked at."""

    async def pending(self, execution_id: str, wait: str) -> bool: ...

    async def purge_fired(self) -> None: ...


class Sweep:
    """One round every PERIOD_SECONDS."""

    def __init__(
        self,
        log: ExecutionLog,
        timers: WakeUpTable,
        leases: Leases,
        agenda: Agenda,
        waker: Waker,
        clock: Clock,
        dice: Dice,
        late_seconds: float = LATE_SECONDS,
    ) -> None:
        self._log = log
        self._timers = timers
        self._leases = leases
        self._agenda = agenda
        self._waker = waker
        self._clock = clock
        self._dice = dice
        self._late = round(late_seconds * 1_000_000)

    async def run(self, stopping: asyncio.Event, period: float = PERIOD_SECONDS) -> None:
        """Rounds until `stopping` is set."""
        number = 0
        while not stopping.is_set():
            try:
                await self.round()
                if number % PURGE_ROUNDS == 0:
                    await self._timers.purge_fired()
            except Unavailable as problem:
                logger.warning("sweep_interrupted", problem=str(problem))
            number += 1
            await self._rest(stopping, period)

    async def _rest(self, stopping: asyncio.Event, period: float) -> None:
        """Until the next round; what is to be discarded does not wait for it."""
        end = time.monotonic() + period
        while not stopping.is_set() and (left := end - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(stopping.wait(), min(left, DISCARD_SECONDS))
            except TimeoutError:
                await self.discard_overdue()

    async def round(self) -> None:
        """Look at everything once, within bounds. Raises Unavailable."""
        await self.take_from_lapsed()
        await self.discard_overdue()
        await self.wake_overdue()
        await self.restore_timers()
        await self.clear_spent()

    async def take_from_lapsed(self) -> None:
        """Attempts of runners whose lease lapsed are lost, and made runnable again."""
        for runner, executions in list(self._agenda.owned.items()):
            if await self._leases.is_alive(runner):
                continue
            entries = [self._agenda.entries[each] for each in list(executions)[:REPAIRS_MAX]]
            logger.warning("runner_lapsed", runner=runner, executions=len(executions))
            await asyncio.gather(*(self._lose(entry) for entry in entries))

    async def _lose(self, entry: Entry) -> None:
        command = LoseAttempt(activation=entry.activation)
        try:
            handled = await handle(
                self._log, entry.execution_id, command, self._clock, self._dice, function=entry.function
            )
        except Rejected:
            return  # its activation was closed meanwhile
        if handled.facts:
            concerning(entry.execution_id).learn(handled.state)
            logger.warning("attempt_lost", runner=entry.owner, state=handled.state.state)

    async def wake_overdue(self) -> None:
        """What is past its time by more than a wake-up takes is woken without one."""
        await self._wake(self._agenda.due(self._clock() - self._late, REPAIRS_MAX))

    async def discard_overdue(self) -> None:
        """What has not started in time has no wake-up for that: most of it starts, and would leave it behind."""
        await self._wake(self._agenda.due_discards(self._clock(), REPAIRS_MAX))

    async def _wake(self, entries: Sequence[Entry]) -> None:
        answers = await asyncio.gather(
            *(self._waker.wake(entry.execution_id) for entry in entries), return_exceptions=True
        )
        for entry, answer in zip(entries, answers, strict=True):
            if answer is not None:
                self._agenda.again(entry, self._clock())
            if isinstance(answer, BaseException) and not isinstance(answer, Unavailable):
                logger.error("repair_failed", execution=entry.execution_id, error=str(answer))

    async def restore_timers(self) -> None:
        """Every wait still ahead has its wake-up; one that is missing is set again."""
        entries = list(self._agenda.to_check(LOOKS_MAX))
        await asyncio.gather(*(self._restore(entry) for entry in entries))

    async def clear_spent(self) -> None:
        """Remove wake-ups of waits that ended otherwise: years of them would pile up."""
        places = list(self._agenda.spent)[:CLEARS_MAX]
        due = [(place, self._agenda.spent.pop(place)) for place in places]
        left = [place for place, until in due if until > self._clock()]
        await asyncio.gather(*(self._timers.clear(execution_id, token) for execution_id, token in left))

    async def _restore(self, entry: Entry) -> None:
        wakes_at = entry.wakes_at
        if wakes_at is None or wakes_at <= self._clock():
            return
        tokens = [START_WAIT]
        if entry.starts_at is None:
            tokens = [wait_token(wait.key) for wait in entry.waits if wait.until == wakes_at] or tokens
        try:
            for token in tokens:
                if await self._timers.pending(entry.execution_id, token):
                    return
            await self._timers.set(entry.execution_id, tokens[0], wakes_at)
        except Unavailable:
            self._agenda.unchecked[entry.execution_id] = None
            raise
