"""The loop behind the wake-ups: kept ticks, lost wake-ups, and what apps declare. Nothing polls a schedule."""

import asyncio
from collections.abc import Callable

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.schedule.facts import ScheduleDeleted, SchedulePut, SchedulesDeclared
from penstock.domain.schedule.spec import check_spec
from penstock.jetstream.schedules import ScheduleLog
from penstock.ports import Clock, Conflict, Unavailable
from penstock_scheduler.calendar import Calendar
from penstock_scheduler.ticker import Ticker

logger = structlog.get_logger("penstock")

PERIOD_SECONDS = 0.5
LATE_SECONDS = 1.5
"""A wake-up comes 0.1 to 0.25 s after its time. What is later than this has lost it, or its scheduler."""
REPAIRS_MAX = 500
TRIES_MAX = 20


class Cron:
    """One round every PERIOD_SECONDS, and at once when the calendar has something."""

    def __init__(
        self,
        calendar: Calendar,
        ticker: Ticker,
        schedules: ScheduleLog,
        clock: Clock,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._calendar = calendar
        self._ticker = ticker
        self._schedules = schedules
        self._clock = clock
        self._is_busy = is_busy
        self.changed = asyncio.Event()
        """To be set when the calendar has taken something."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Rounds until `stopping` is set."""
        while not stopping.is_set():
            self.changed.clear()
            try:
                await self.round()
            except Unavailable as problem:
                logger.warning("cron_interrupted", problem=str(problem))
                await asyncio.sleep(PERIOD_SECONDS)
            try:
                await asyncio.wait_for(self.changed.wait(), PERIOD_SECONDS)
            except TimeoutError:
                continue

    async def round(self) -> None:
        """Everything that the calendar has for now. Raises Unavailable."""
        for app, declared in list(self._calendar.declared.items()):
            await self.reconcile(declared)
            if self._calendar.declared.get(app) is declared:
                del self._calendar.declared[app]
        now = self._clock()
        keys = list(self._calendar.ready)
        self._calendar.ready.clear()
        if not self._is_busy():
            # While wake-ups queue up here, what is late is among them.
            keys += self._calendar.due(now - round(LATE_SECONDS * 1_000_000), REPAIRS_MAX)
        answers = await asyncio.gather(*(self._ticker.wake(key) for key in keys), return_exceptions=True)
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, BaseException):
                self._calendar.again(key, now + round(LATE_SECONDS * 1_000_000))
                logger.warning("schedule_repair_failed", schedule=key, error=str(answer))

    async def reconcile(self, declared: SchedulesDeclared) -> None:
        """Make the schedules of an app those that its code declares. What was made by API stays. Raises Unavailable."""
        _, known = await self._schedules.declared(declared.app)
        if known is None or known.id != declared.id:
            return  # a newer set is on its way
        for key, spec in declared.schedules.items():
            try:
                check_spec(spec, self._clock())
            except Rejected as refusal:
                # The worker process checked it already, but what comes from there is not trusted.
                logger.error("schedule_refused", schedule=key, reason=refusal.detail)
                continue
            await self._put(key, SchedulePut(at=self._clock(), key=key, spec=spec))
        for key, app in list(self._calendar.apps.items()):
            if app == declared.app and key not in declared.schedules:
                await self._delete(key, declared.app)

    async def _put(self, key: str, fact: SchedulePut) -> None:
        for _ in range(TRIES_MAX):
            state = await self._schedules.read(key)
            if state is not None and state.spec is not None:
                if state.spec.same_as(fact.spec):
                    break
                if state.spec.app != fact.spec.app:
                    logger.warning("schedule_taken_over", schedule=key, app=fact.spec.app, was=state.spec.app or "API")
            try:
                await self._schedules.change(key, state, fact)
            except Conflict:
                continue
            break
        await self._ticker.wake(key)

    async def _delete(self, key: str, app: str) -> None:
        for _ in range(TRIES_MAX):
            state = await self._schedules.read(key)
            if state is None or state.spec is None or state.spec.app != app:
                return
            try:
                await self._schedules.change(key, state, ScheduleDeleted(at=self._clock(), key=key))
            except Conflict:
                continue
            logger.info("schedule_removed", schedule=key, app=app)
            return
