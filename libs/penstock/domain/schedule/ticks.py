"""When the ticks of a schedule are: cron expressions in a time zone, and intervals. The only module with croniter.

croniter counts in wall-clock time without any zone; how that becomes instants is decided here, so that the rule for
changes of the clock is ours. A wall-clock time that does not exist runs once, at the first instant after the gap; one
that exists twice runs once, the first time. An expression that names all hours asks for a pace rather than for a
time of the day: it follows the hours that really pass, through gaps and repeated hours alike.

Instants are microseconds since the epoch; ticks fall on whole seconds.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

from penstock.domain.schedule.expression import Cron, parse_cron
from penstock.domain.schedule.zones import zone

SECOND = 1_000_000
YEARS = 5
"""An expression without a tick in so many years never ticks."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_NEAR = 6 * 3600
"""Seconds within which a zone changes its offset at most once."""
_FAR = 3 * 3600
_LAST = 253_370_764_800
"""The year 9999 begins; beyond it there is no calendar."""


class CronTicks:
    """The ticks of one expression in one zone."""

    def __init__(self, expression: str, zone_name: str) -> None:
        self._cron: Cron = parse_cron(expression)
        self._zone: ZoneInfo = zone(zone_name)
        # Deciding one tick asks for the same few again and again.
        self._known: deque[tuple[int, int]] = deque(maxlen=4)
        self._source = croniter(
            self._cron.text, _NAIVE_EPOCH, ret_type=datetime, day_or=True, max_years_between_matches=YEARS,
            implement_cron_bug=True, second_at_beginning=True,
        )  # fmt: skip

    def after(self, instant: int) -> int | None:
        """The first tick after the instant; None if there is none within five years."""
        for low, high in self._known:
            if low <= instant < high:
                return high
        found = self._after(instant)
        if found is not None:
            self._known.append((instant, found))
        return found

    def _after(self, instant: int) -> int | None:
        second = instant // SECOND
        if second >= _LAST - YEARS * 366 * 86_400:
            return None
        try:
            found = self._paced(second) if self._cron.every_hour else self._named(second)
        except CroniterBadDateError:
            return None
        return found * SECOND

    def _next_wall(self, wall: int) -> int:
        """The first matching wall-clock time after this one, both as seconds without a zone."""
        self._source.set_current(_NAIVE_EPOCH + timedelta(seconds=wall), force=True)
        return _whole(self._source.get_next(datetime) - _NAIVE_EPOCH)

    def _named(self, second: int) -> int:
        wall = second + self._offset(second)
        while True:
            # Instants never go backwards as wall-clock times go on, so the first one that is later is the next.
            wall = self._next_wall(wall)
            found = self._first_instant(wall)
            if found > second:
                return found

    def _first_instant(self, wall: int) -> int:
        local = _NAIVE_EPOCH + timedelta(seconds=wall)
        before, after = (_whole(local.replace(tzinfo=self._zone, fold=fold).utcoffset()) for fold in (0, 1))
        if before >= after:
            return wall - before
        # It does not exist: the clock went from one offset to the other between these two instants.
        return self._change(wall - after, wall - before)

    def _paced(self, second: int) -> int:
        while True:
            offset = self._offset(second)
            found = self._next_wall(second + offset) - offset
            horizon = min(found, second + _NEAR)
            if self._offset(horizon) != offset:
                change = self._change(second, horizon)
                wall = change + self._offset(change)
                first = self._next_wall(wall - 1) - wall + change
                if first <= change + _FAR:
                    return first
                second = change
            elif found <= horizon:
                return found
            else:
                second = max(horizon, self._first_instant(found + offset) - _FAR)

    def _offset(self, second: int) -> int:
        return _whole((_EPOCH + timedelta(seconds=second)).astimezone(self._zone).utcoffset())

    def _change(self, low: int, high: int) -> int:
        """The first second after `low` with the offset that holds at `high`."""
        wanted = self._offset(high)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == wanted:
                high = middle
            else:
                low = middle
        return high


class IntervalTicks:
    """Every so many microseconds, counted from the epoch: the same instants for everybody, whenever it was declared."""

    def __init__(self, interval: int) -> None:
        self._interval = interval

    def after(self, instant: int) -> int | None:
        """The first tick after the instant."""
        return (instant // self._interval + 1) * self._interval

    def count(self, after: int, until: int) -> int:
        """Ticks later than `after` and not later than `until`."""
        return max(0, until // self._interval - after // self._interval)


Ticks = CronTicks | IntervalTicks


@lru_cache(maxsize=4096)
def ticks(cron: str | None, every: int | None, zone_name: str) -> Ticks:
    """The ticks of a rule. Raises Rejected `invalid_option` for a bad expression or zone."""
    if every is not None:
        return IntervalTicks(every)
    assert cron is not None, "a rule has an expression or an interval"
    return CronTicks(cron, zone_name)


def between(source: Ticks, after: int, until: int) -> Iterator[int]:
    """Ticks later than `after` and not later than `until`, in order."""
    tick = source.after(after)
    while tick is not None and tick <= until:
        yield tick
        tick = source.after(tick)


def first_after(source: Ticks, after: int, count: int) -> list[int]:
    """The next so many ticks."""
    return list(itertools.islice(between(source, after, _LAST * SECOND), count))


def last_between(source: Ticks, after: int, until: int, limit: int) -> tuple[list[int], bool]:
    """The latest `limit` ticks in that span, in order, and whether these are all. Cheap however long the span is."""
    found = list(itertools.islice(between(source, after, until), limit + 1))
    if len(found) <= limit:
        return found, True
    width = 60 * SECOND
    while True:
        found = list(between(source, max(after, until - width), until))
        if len(found) > limit:
            return found[-limit:], False
        width *= 8


def count_between(source: Ticks, after: int, until: int, limit: int) -> int:
    """How many ticks lie in that span; `limit` when there are so many or more, except for intervals."""
    if isinstance(source, IntervalTicks):
        return source.count(after, until)
    return sum(1 for _ in itertools.islice(between(source, after, until), limit))


def _whole(span: timedelta | None) -> int:
    assert span is not None, "every zone has an offset at every instant"
    return span // timedelta(seconds=1)
