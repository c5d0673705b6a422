"""What the scheduler knows of schedules between their wake-ups: cheap, and rebuilt from the log."""

import time

from penstock.domain.schedule import facts as f
from penstock.domain.schedule.spec import ScheduleSpec
from penstock.ports import LogEntry
from penstock.wire.codec import encode_schedule_fact
from penstock.wire.names import Names
from penstock_scheduler.calendar import Calendar
from schedules import KEY, at, spec

NAMES = Names("test")
DUE = at("00:01:00")
SPEC = spec()


def said(fact: f.AnyScheduleFact, sequence: int = 1) -> LogEntry:
    part = "tick" if isinstance(fact, f.Ticked) else "fact"
    return LogEntry(sequence, NAMES.schedule_subject(fact.key, part), encode_schedule_fact(fact))  # type: ignore[arg-type]


def put(key: str = KEY, when: int = DUE, of: ScheduleSpec = SPEC) -> LogEntry:
    return said(f.SchedulePut(at=0, key=key, spec=of, wakes_at=when))


def ticked(when: int | None, cursor: f.Cursor) -> LogEntry:
    return said(f.Ticked(at=0, key=KEY, entries=[], cursor=cursor, wakes_at=when))


def test_a_schedule_is_due_at_the_time_that_was_said_last() -> None:
    """Each is given once; what was said before counts no more."""
    calendar = Calendar(NAMES)
    calendar.take([put(), ticked(DUE + 60, f.Cursor(through=0))])
    assert calendar.due(DUE + 59, 10) == []
    assert calendar.due(DUE + 60, 10) == [KEY]
    assert calendar.due(DUE + 60, 10) == []


def test_a_paused_or_deleted_schedule_is_never_due() -> None:
    """Nor is it woken by its former time."""
    for fact in (f.SchedulePaused(at=1, key=KEY), f.ScheduleDeleted(at=1, key=KEY)):
        calendar = Calendar(NAMES)
        calendar.take([put(), said(fact)])
        assert calendar.due(2**62, 10) == []


def test_a_kept_tick_is_looked_at_when_its_execution_ends() -> None:
    """Not when another does, nor by a fact that is not final."""
    calendar = Calendar(NAMES)
    one, other = "a" * 32, "b" * 32
    calendar.take([put(), ticked(None, f.Cursor(through=0, live=[one], buffered=DUE))])
    subject = NAMES.fact_subject(one, "report", "fact")
    calendar.take([
        LogEntry(3, NAMES.fact_subject(other, "report", "fact"), b'{"kind":"succeeded"}'),
        LogEntry(4, subject, b'{"kind":"started"}'),
    ])  # fmt: skip
    assert not calendar.ready
    calendar.take([LogEntry(5, subject, b'{"kind":"succeeded"}')])
    assert list(calendar.ready) == [KEY]


def test_the_app_that_declared_a_schedule_is_known() -> None:
    """Until it is made by API instead, or deleted."""
    calendar = Calendar(NAMES)
    declared = ScheduleSpec(function="report", rule=SPEC.rule, app="shop")
    calendar.take([put(of=declared)])
    assert calendar.apps == {KEY: "shop"}
    calendar.take([put()])
    assert calendar.apps == {}


def test_a_hundred_thousand_idle_schedules_cost_next_to_nothing() -> None:
    """A minute of looking takes less than a hundredth of a second."""
    calendar = Calendar(NAMES)
    calendar.take(put(f"s{number}", DUE + number) for number in range(100_000))
    begin = time.process_time()
    for _ in range(120):
        assert calendar.due(DUE - 1, 500) == []
    assert time.process_time() - begin < 0.01
