"""What can happen to a schedule. Its facts stand on two subjects with one order: what people say, and the ticks.

Each `tick` fact carries the cursor: all that the facts before it said about ticks. So a schedule is known from what
people said and the latest tick fact, however many ticks there were.
"""

import msgspec

from penstock.domain.schedule.spec import ScheduleSpec
from penstock.domain.system import SystemFact


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one tick, or of `count` ticks up to `until` that were skipped for one reason.

    `outcome` is fired, late (fired, but more than a second after it was due), buffered or skipped. `reason` of a
    skipped one is missed, catch_up_cap, overlap, paused or already_fired; of a fired one empty, caught_up, buffered,
    triggered or backfilled. `late_ms` is the time between being due and the decision.
    """

    tick: int
    outcome: str
    reason: str = ""
    execution_id: str | None = None
    late_ms: int = 0
    count: int = 1
    until: int | None = None


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the ticks are decided. `live` are executions that may still run (only where overlap matters)."""

    through: int
    last_tick: int | None = None
    live: list[str] = []
    buffered: int | None = None
    request: int = 0
    """Position of the last backfill request that is done."""
    reached: int | None = None
    """How far the next request has come."""


class SchedulePut(SystemFact, frozen=True, kw_only=True, tag="schedule_put"):
    """It was made, or changed. `wakes_at` is when a tick is due first."""

    key: str
    spec: ScheduleSpec
    wakes_at: int | None = None


class SchedulePaused(SystemFact, frozen=True, kw_only=True, tag="schedule_paused"):
    """Ticks from now on are skipped."""

    key: str


class ScheduleResumed(SystemFact, frozen=True, kw_only=True, tag="schedule_resumed"):
    """Ticks from now on count again. `wakes_at` is when one is due first."""

    key: str
    wakes_at: int | None = None


class ScheduleDeleted(SystemFact, frozen=True, kw_only=True, tag="schedule_deleted"):
    """No more ticks. Its history stays."""

    key: str


class BackfillRequested(SystemFact, frozen=True, kw_only=True, tag="backfill_requested"):
    """The ticks from `start` to `end` (both included) are to be made up for."""

    key: str
    start: int
    end: int


class Ticked(SystemFact, frozen=True, kw_only=True, tag="tick"):
    """Ticks were decided. `wakes_at` is when the next one is due."""

    key: str
    entries: list[LedgerEntry]
    cursor: Cursor
    wakes_at: int | None = None


AnyScheduleFact = SchedulePut | SchedulePaused | ScheduleResumed | ScheduleDeleted | BackfillRequested | Ticked


class SchedulesDeclared(SystemFact, frozen=True, kw_only=True, tag="schedules_declared"):
    """A runner told the whole set of schedules that this version of an app declares, by key."""

    app: str
    schedules: dict[str, ScheduleSpec]
    version: str = ""
    runner: str = ""
