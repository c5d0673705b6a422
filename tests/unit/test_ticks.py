"""When ticks are: the rule for changes of the clock, awkward zones, and an independent oracle."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from penstock.domain.schedule.ticks import SECOND, CronTicks, IntervalTicks, between, count_between, last_between

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = [
    "UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia",
    "Antarctica/Troll", "Pacific/Kiritimati", "America/Sao_Paulo", "Asia/Kathmandu",
]  # fmt: skip
EXPRESSIONS = [
    "30 2 * * *", "30 1 * * *", "*/15 * * * *", "0 * * * *", "30 * * * *", "0 0 */2 * 1", "0 0 L * *", "0 8 * * MON",
    "0 0 29 2 *", "0 0 * * MON#2", "0 0 1,15 * FRI", "5 4 * * SUN", "59 23 31 12 *", "15 2,14 * * *",
    "0 9-17 * * 1-5",
]  # fmt: skip


def instant(text: str, zone: str = "UTC") -> int:
    local = datetime.fromisoformat(text)
    aware = local if local.tzinfo is not None else local.replace(tzinfo=ZoneInfo(zone))
    return (aware - EPOCH) // timedelta(microseconds=1)


def local_times(expression: str, zone: str, start: str, end: str) -> list[str]:
    ticks = between(CronTicks(expression, zone), instant(start, zone), instant(end, zone))
    return [(EPOCH + timedelta(microseconds=each)).astimezone(ZoneInfo(zone)).isoformat() for each in ticks]


DST = [
    # A time that does not exist runs once, at the first instant after the gap.
    ("30 2 * * *", "America/New_York", "2026-03-08T00:00", "2026-03-09T00:00", ["2026-03-08T03:00:00-04:00"]),
    ("*/10 2 * * *", "America/New_York", "2026-03-08T00:00", "2026-03-09T00:00", ["2026-03-08T03:00:00-04:00"]),
    ("0 */2 * * *", "America/New_York", "2026-03-08T00:00", "2026-03-08T05:00",
     ["2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"]),
    ("30 2 * * *", "Europe/Berlin", "2026-03-29T00:00", "2026-03-30T00:00", ["2026-03-29T03:00:00+02:00"]),
    ("0 3 * * *", "Europe/Berlin", "2026-03-29T00:00", "2026-03-30T00:00", ["2026-03-29T03:00:00+02:00"]),
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00", "2026-10-05T00:00", ["2026-10-04T02:30:00+11:00"]),
    # A time that exists twice runs once, the first time.
    ("30 1 * * *", "America/New_York", "2026-11-01T00:00", "2026-11-02T00:00", ["2026-11-01T01:30:00-04:00"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00", "2026-10-26T00:00", ["2026-10-25T02:30:00+02:00"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05T00:00", "2026-04-06T00:00", ["2026-04-05T01:45:00+11:00"]),
    # A day that does not exist.
    ("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T12:00",
     ["2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"]),
    ("0 0 * * *", "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T12:00", ["2011-12-31T00:00:00+14:00"]),
    # All hours: the hours that really pass.
    ("0 * * * *", "America/New_York", "2026-11-01T00:30", "2026-11-01T02:30",
     ["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"]),
    ("30 * * * *", "America/New_York", "2026-03-08T01:00", "2026-03-08T04:00",
     ["2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00"]),
    # Midnight falls into the gap.
    ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", "2018-11-04T12:00", ["2018-11-04T01:00:00-02:00"]),
    # The hour before midnight comes twice, on the last day that fits.
    ("30 * 17 2 *", "America/Sao_Paulo", "2018-02-17T22:45", "2018-02-18T02:00",
     ["2018-02-17T23:30:00-02:00", "2018-02-17T23:30:00-03:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "zone", "start", "end", "expected"), DST)
def test_a_change_of_the_clock_follows_the_written_rule(
    expression: str, zone: str, start: str, end: str, expected: list[str]
) -> None:
    """Gaps, repeated hours, a lost day, and expressions that ask for a pace."""
    assert local_times(expression, zone, start, end) == expected


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("start", ["2026-03-01", "2026-10-24", "2011-12-25"])
def test_ticks_agree_with_an_independent_implementation(zone: str, start: str) -> None:
    """Every awkward expression, around changes of the clock."""
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    for expression in EXPRESSIONS:
        count = 200 if expression.split()[1] in ("*", "9-17") else 15
        theirs = CronSim(expression, begin.astimezone(ZoneInfo(zone)))
        expected = [(each.astimezone(UTC) - EPOCH) // timedelta(microseconds=1) for each in islice(theirs, count)]
        source = CronTicks(expression, zone)
        found = list(islice(between(source, (begin - EPOCH) // timedelta(microseconds=1), 2**62), count))
        assert found == expected, expression


@settings(max_examples=examples(60), deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    zone=st.sampled_from(ZONES),
    day=st.integers(0, 20 * 365),
)
def test_a_daily_tick_comes_once_per_day_that_exists(minute: int, hour: int, zone: str, day: int) -> None:
    """Over thirty days from anywhere in twenty years, each named time runs exactly once."""
    source = CronTicks(f"{minute} {hour} * * *", zone)
    start = datetime(2015, 1, 1, 12, tzinfo=ZoneInfo(zone)) + timedelta(days=day)
    begin = (start - EPOCH) // timedelta(microseconds=1)
    found = list(islice(between(source, begin, 2**62), 30))
    days = {(EPOCH + timedelta(microseconds=each)).astimezone(ZoneInfo(zone)).date() for each in found}
    assert len(found) == len(set(found)) == len(days) == 30


@settings(max_examples=examples(40), deadline=None)
@given(
    expression=st.sampled_from([*EXPRESSIONS, "*/7 * * * * *", "15 30 4 * * *"]),
    zone=st.sampled_from(ZONES),
    start=st.integers(1_300_000_000, 2_200_000_000),
)
def test_the_next_tick_does_not_depend_on_where_one_looks_from(expression: str, zone: str, start: int) -> None:
    """Any instant between two ticks leads to the same next one."""
    source = CronTicks(expression, zone)
    first = source.after(start * SECOND)
    assert first is not None
    following = source.after(first)
    if following is None:
        return
    assert following > first
    for share in (1, 3, 7, 9):
        assert source.after(first + (following - first) * share // 10) == following
    assert source.after(following - 1) == following


def test_six_fields_begin_with_the_second() -> None:
    """Thirty seconds past four."""
    assert local_times("30 0 4 * * *", "UTC", "2026-01-01T00:00", "2026-01-02T00:00") == ["2026-01-01T04:00:30+00:00"]


def test_words_stand_for_expressions() -> None:
    """Case does not matter."""
    assert local_times("@Daily", "UTC", "2026-01-01T12:00", "2026-01-02T12:00") == ["2026-01-02T00:00:00+00:00"]


def test_intervals_fall_on_multiples_since_the_epoch() -> None:
    """Everybody agrees, whenever they start."""
    source = IntervalTicks(600 * SECOND)
    assert source.after(0) == 600 * SECOND
    assert source.after(600 * SECOND - 1) == 600 * SECOND
    assert count_between(source, 0, 3600 * SECOND, 2) == 6


def test_the_latest_ticks_of_a_long_span_are_found_without_walking_it() -> None:
    """A year of seconds."""
    source = CronTicks("* * * * * *", "UTC")
    until = instant("2027-01-01T00:00:00")
    found, complete = last_between(source, instant("2026-01-01T00:00:00"), until, 3)
    assert (found, complete) == ([until - 2 * SECOND, until - SECOND, until], False)


def test_an_expression_beyond_the_calendar_has_no_tick() -> None:
    """No overflow at the end of time."""
    assert CronTicks("0 0 * * *", "UTC").after(253_402_300_799 * SECOND) is None
