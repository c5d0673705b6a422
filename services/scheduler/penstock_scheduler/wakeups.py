"""Takes fired wake-ups and makes due what is due. Any number of copies share them; the log decides who was first."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import WakeUp
from penstock.domain.execution.state import Execution, State
from penstock.handle import Handled
from penstock.ports import Clock, Timers, Unavailable
from penstock.service.concern import concerning
from penstock.wire.names import START_WAIT, TICK_WAIT, wait_token
from penstock_scheduler.agenda import Agenda
from penstock_scheduler.carrier import Carrier

logger = structlog.get_logger("penstock")

WINDOW = 2_000
"""Wake-ups under way at once. The log stores appends made at the same time in groups, so many are as fast as one."""
TAKE_MAX = 500
BUSY = 50
TOGETHER_MIN = 8
"""So many wake-ups that come together are decided together."""
RETRY_SECONDS = 1.0


class Fired(Protocol):
    """One fired wake-up."""

    execution_id: str
    wait: str

    async def ack(self) -> None: ...

    async def give_back(self, delay_seconds: float = 0.0) -> None: ...


class Source(Protocol):
    """Fired wake-ups, shared by all schedulers."""

    async def take(self, limit: int) -> Sequence[Fired]:
        """Up to `limit`; empty only after `stop`."""

    async def stop(self) -> None: ...


class Waker:
    """Carries out the command `WakeUp` for one execution."""

    def __init__(self, carrier: Carrier, timers: Timers, agenda: Agenda, clock: Clock) -> None:
        self._carrier = carrier
        self._timers = timers
        self._agenda = agenda
        self._clock = clock

    async def wake_known(self, execution_ids: Sequence[str]) -> set[str]:
        """Those of them whose start is due as far as the agenda tells, together; answers with what is done with."""
        now, entries = self._clock(), self._agenda.entries
        known = [entries[each] for each in dict.fromkeys(execution_ids) if each in entries]
        found = [entry.as_execution() for entry in known if entry.wakes_at is not None and now >= entry.wakes_at]
        states = [state for state in found if state is not None]
        done = await self._carrier.carry_out_known(states, WakeUp())
        return {state.id for state, is_done in zip(states, done, strict=True) if is_done}

    async def wake(self, execution_id: str) -> None:
        """Append what is due, if anything; set the timer again if it came too early. Raises Unavailable."""
        concern = concerning(execution_id)
        try:
            handled = await self._handle(execution_id)
        except Rejected as rejected:
            # Nothing is known of it (any more): nothing is due.
            logger.info("wake_up_void", code=rejected.code)
            return
        concern.learn(handled.state)
        logger.debug("wake_up", facts=len(handled.facts))
        if not handled.facts:
            await self._wait_on(handled.state)

    async def _wait_on(self, state: Execution) -> None:
        wakes_at = state.wakes_at
        if wakes_at is None or wakes_at <= self._clock():
            return
        key = next((key for key, wait in state.waits.items() if wait.until == wakes_at), None)
        is_wait = key is not None and state.state not in (State.SCHEDULED, State.RETRYING)
        await self._timers.set(state.id, wait_token(key) if is_wait and key is not None else START_WAIT, wakes_at)

    async def _handle(self, execution_id: str) -> Handled:
        entry, state = self._agenda.entries.get(execution_id), None
        if entry is not None and entry.wakes_at is not None and self._clock() >= entry.wakes_at:
            # It may be behind the log. Then the append is refused and the history is read; else the read is saved.
            state = entry.as_execution()
        function = entry.function if entry is not None else None
        return await self._carrier.carry_out(execution_id, WakeUp(), function, state)


class WakeUpLoop:
    """Many wake-ups at a time, each acknowledged after what follows is stored. `tick` takes those of schedules."""

    def __init__(self, source: Source, waker: Waker, tick: Callable[[str], Awaitable[object]] | None = None) -> None:
        self._source = source
        self._waker = waker
        self._tick = tick
        self._under_way = 0
        self._room = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether so many wake-ups are under way that what seems late may only be waiting for its turn."""
        return self._under_way > BUSY

    async def run(self) -> None:
        """Until the source is stopped; then what is under way is finished."""
        while fired := await self._source.take(TAKE_MAX):
            while self._under_way >= WINDOW:
                self._room.clear()
                await self._room.wait()
            waits = [each for each in fired if each.wait != TICK_WAIT]
            if len(waits) >= TOGETHER_MIN:
                self._begin(self._together(waits), len(waits))
                fired = [each for each in fired if each.wait == TICK_WAIT]
            for each in fired:
                self._begin(self._one(each), 1)
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _begin(self, work: Coroutine[Any, Any, None], weight: int) -> None:
        self._under_way += weight
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._under_way -= weight
            self._room.set()

        task.add_done_callback(end)

    async def _together(self, fired: Sequence[Fired]) -> None:
        """What the agenda knows costs a fraction in one go; the rest has to be read one by one."""
        try:
            done = await self._waker.wake_known([each.execution_id for each in fired])
        except Exception:
            logger.exception("wake_ups_failed", count=len(fired))
            done = set()
        for each in fired:
            if each.execution_id in done:
                await each.ack()
            else:
                self._begin(self._one(each), 1)

    async def _one(self, fired: Fired) -> None:
        try:
            if fired.wait != TICK_WAIT:
                await self._waker.wake(fired.execution_id)
            elif self._tick is not None:
                await self._tick(fired.execution_id)
            await fired.ack()
        except Unavailable:
            await fired.give_back(RETRY_SECONDS)
        except Exception:
            # One history that cannot be folded must not stop all the others; it comes again and is reported again.
            logger.exception("wake_up_failed")
            await fired.give_back(RETRY_SECONDS * 5)
