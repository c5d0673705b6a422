"""Decides the ticks of one schedule: read, fold, decide, append with the executions, then set the next wake-up."""

import asyncio

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import RequestCancel
from penstock.domain.ids import tick_execution_id
from penstock.domain.schedule.decide import Decision, backfill, backfill_plan, decide, plan
from penstock.domain.schedule.start import tick_enqueued
from penstock.domain.schedule.state import Schedule, evolve
from penstock.handle import handle, load
from penstock.jetstream.inbox import Hints
from penstock.jetstream.schedules import NewExecution, ScheduleLog
from penstock.ports import Clock, Conflict, Dice, ExecutionLog, Timers, Unavailable
from penstock.wire.names import TICK_WAIT, Names

logger = structlog.get_logger("penstock")

ROUNDS_MAX = 1000
EARLY_SECONDS = 1.0
"""The server's clock may be so far ahead of ours that a wake-up comes before its time; then it is waited for."""


class Ticker:
    """Any number of copies may work on one schedule: the log takes the first decision and refuses the others."""

    def __init__(
        self,
        log: ExecutionLog,
        schedules: ScheduleLog,
        timers: Timers,
        names: Names,
        hints: Hints,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self._log = log
        self._schedules = schedules
        self._timers = timers
        self._names = names
        self._hints = hints
        self._clock = clock
        self._dice = dice

    async def on_wake_up(self, key: str) -> None:
        """The server says that something is due. Raises Unavailable."""
        await self.wake(key, early_seconds=EARLY_SECONDS)

    async def wake(self, key: str, early_seconds: float = 0.0) -> int | None:
        """Decide what is due, then set the wake-up for what is due next; answers with its time. Raises Unavailable."""
        state = await self._schedules.read(key)
        existing: set[str] = set()
        for _ in range(ROUNDS_MAX):
            if state is None:
                return None
            now = self._clock()
            decision = await self._decide(state, now, existing)
            if decision.fact is None:
                due_at = decision.wakes_at
                if due_at is not None and 0 < due_at - now <= early_seconds * 1_000_000:
                    early_seconds = 0.0
                    await asyncio.sleep((due_at - now) / 1_000_000)
                    continue
                if due_at is not None:
                    await self._timers.set(self._names.schedule_token(key), TICK_WAIT, due_at)
                return due_at
            early_seconds = 0.0
            try:
                state = await self._store(state, decision, now)
            except Conflict:
                before, state = state, await self._schedules.read(key)
                if state is not None and state.sequence == before.sequence:
                    # Not the schedule has moved on: one of the executions was made already.
                    existing |= await self._existing(decision)
        raise Unavailable(f"schedule {key} was not settled after {ROUNDS_MAX} decisions")

    async def _decide(self, state: Schedule, now: int, existing: set[str]) -> Decision:
        running: list[str] = []
        if state.cursor.live and (state.cursor.buffered is not None or plan(state, now).due):
            running = await self._running(state)
        decision = decide(state, self._names.environment, now, running, existing)
        if decision.fact is not None or not state.requests:
            return decision
        made = set(existing)
        for each in backfill_plan(state, now):
            execution_id = tick_execution_id(self._names.environment, state.key, each.tick)
            if await self._schedules.exists(execution_id, each.spec.function):
                made.add(execution_id)
        return backfill(state, self._names.environment, now, made)

    async def _store(self, state: Schedule, decision: Decision, now: int) -> Schedule:
        assert decision.fact is not None
        for execution_id in decision.cancel:
            await self._cancel(execution_id)
        made = [
            NewExecution(each.execution_id, tick_enqueued(state.key, each.execution_id, each.tick, each.spec, now))
            for each in decision.fire
        ]
        sequence, fact = await self._schedules.append(state.key, decision.fact, state.sequence, made)
        for entry in decision.fact.entries:
            if entry.outcome == "skipped":
                logger.warning("tick_skipped", schedule=state.key, reason=entry.reason, count=entry.count)
        return evolve(state, fact, sequence)

    async def _running(self, state: Schedule) -> list[str]:
        function = state.spec.function if state.spec is not None else None
        found = []
        for execution_id in state.cursor.live:
            execution = await load(self._log, execution_id, function) or await load(self._log, execution_id, None)
            if execution is not None and not execution.is_final:
                found.append(execution_id)
        return found

    async def _existing(self, decision: Decision) -> set[str]:
        looks = [self._schedules.exists(each.execution_id, each.spec.function) for each in decision.fire]
        found = await asyncio.gather(*looks)
        return {each.execution_id for each, exists in zip(decision.fire, found, strict=True) if exists}

    async def _cancel(self, execution_id: str) -> None:
        try:
            handled = await handle(self._log, execution_id, RequestCancel(), self._clock, self._dice)
        except Rejected:
            return  # it ended meanwhile
        if handled.state.owner:
            await self._hints.cancel(handled.state.owner, execution_id)
