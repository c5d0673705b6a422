"""What is known of one schedule after some of its facts."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from penstock.domain.schedule import facts as f
from penstock.domain.schedule.spec import ScheduleSpec


class Era(msgspec.Struct, frozen=True):
    """From `at` on this held: the spec (None: deleted), and whether it was paused."""

    at: int
    spec: ScheduleSpec | None
    paused: bool = False


class Request(msgspec.Struct, frozen=True):
    """A backfill that is not done: the position of its fact, and the span with both ends."""

    sequence: int
    start: int
    end: int


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule. `sequence` is the position of its last fact, and what the next append expects."""

    key: str
    sequence: int
    created_at: int
    updated_at: int
    eras: list[Era]
    cursor: f.Cursor
    requests: list[Request] = []
    wakes_at: int | None = None

    @property
    def spec(self) -> ScheduleSpec | None:
        """What holds now; None once it is deleted."""
        return self.eras[-1].spec

    @property
    def is_paused(self) -> bool:
        return self.eras[-1].paused

    @property
    def is_live(self) -> bool:
        """Whether it has ticks to come."""
        return self.spec is not None and not self.is_paused

    def spec_at(self, instant: int) -> ScheduleSpec | None:
        """What held at that time; before it was made, what it was made with."""
        era = self.eras[0]
        for later in self.eras:
            if later.at < instant:
                era = later
        return era.spec


def evolve(state: Schedule | None, fact: f.AnyScheduleFact, sequence: int) -> Schedule:
    """The schedule after one more fact. Only `schedule_put` may come first."""
    if isinstance(fact, f.SchedulePut):
        return _put(state, fact, sequence)
    if state is None:
        raise ValueError(f"the first fact of a schedule is `schedule_put`, not {type(fact).__name__}")
    match fact:
        case f.Ticked():
            left = [request for request in state.requests if request.sequence > fact.cursor.request]
            return replace(state, sequence=sequence, cursor=fact.cursor, requests=left, wakes_at=fact.wakes_at)
        case f.BackfillRequested():
            request = Request(sequence, fact.start, fact.end)
            return replace(state, sequence=sequence, updated_at=fact.at, requests=[*state.requests, request])
        case f.SchedulePaused():
            return _turn(state, Era(fact.at, state.spec, True), sequence)
        case f.ScheduleResumed():
            return _turn(state, Era(fact.at, state.spec, False), sequence, fact.wakes_at)
        case f.ScheduleDeleted():
            gone = _turn(state, Era(fact.at, None, False), sequence)
            return replace(gone, requests=[], cursor=replace(state.cursor, buffered=None, reached=None))


def fold(history: Iterable[tuple[int, f.AnyScheduleFact]]) -> Schedule | None:
    """The schedule after (sequence, fact) pairs in log order; of the tick facts, the last is enough."""
    state: Schedule | None = None
    for sequence, fact in history:
        state = evolve(state, fact, sequence)
    return state


def _put(state: Schedule | None, fact: f.SchedulePut, sequence: int) -> Schedule:
    if state is None:
        return Schedule(
            key=fact.key, sequence=sequence, created_at=fact.at, updated_at=fact.at,
            eras=[Era(fact.at, fact.spec)], cursor=f.Cursor(through=fact.at), wakes_at=fact.wakes_at,
        )  # fmt: skip
    return _turn(state, Era(fact.at, fact.spec, state.is_paused), sequence, fact.wakes_at)


def _turn(state: Schedule, era: Era, sequence: int, due_at: int | None = None) -> Schedule:
    return replace(state, sequence=sequence, updated_at=era.at, eras=[*state.eras, era], wakes_at=due_at)
