"""Times as lists compare them: microseconds since 1970, and stretches of them. Pure."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Interval(NamedTuple):
    """Microseconds, both ends included; None is open."""

    start: int | None = None
    end: int | None = None

    def holds(self, at: int | None) -> bool:
        if self == Interval():
            return True
        return at is not None and (self.start is None or at >= self.start) and (self.end is None or at <= self.end)


def microseconds(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """The same in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)
