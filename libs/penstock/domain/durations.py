"""Durations as people write them: `250ms`, `1h30m`, `2d`, `1w`, ISO 8601 (`PT5M`) or a number of seconds."""

import math
import re
from datetime import timedelta

import durationpy
import msgspec

from penstock.domain.errors import CATALOGUE, Rejected

_LONG_UNIT = re.compile(r"^(?:(\d+(?:\.\d+)?)w)?(?:(\d+(?:\.\d+)?)d)?(.*)$")
_CHARACTERS = re.compile(r"[0-9.a-zµμ]+")
"""No signs anywhere, and no digits of other scripts, both of which the parser below would take."""


def seconds(value: str | int | float | timedelta, field: str = "duration") -> float:
    """Seconds of a duration.

    Raises Rejected `invalid_duration` for text that is no duration, and for a negative or non-finite number.
    """
    result = _parse(value, field)
    if not math.isfinite(result) or result < 0:
        raise Rejected("invalid_duration", f"{field} must be a finite duration of 0 or more, not {value!r}.")
    return result


def _parse(value: str | int | float | timedelta, field: str) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool):
        raise Rejected("invalid_duration", f"{field} must be a duration such as '10m', not {value!r}.")
    text = value.strip() if isinstance(value, str) else ""
    try:
        if isinstance(value, int | float):
            return float(value)
        if text[:1] in ("P", "p"):
            return msgspec.convert(text, timedelta).total_seconds()
        weeks, days, rest = _LONG_UNIT.fullmatch(text).groups()  # type: ignore[union-attr]
        if not _CHARACTERS.fullmatch(text):
            raise ValueError(text)
        clock = durationpy.from_str(rest).total_seconds() if rest else 0.0
        return float(weeks or 0) * 604_800 + float(days or 0) * 86_400 + clock
    except (ValueError, AttributeError, OverflowError, msgspec.ValidationError, durationpy.DurationError):
        hint = CATALOGUE["invalid_duration"].hint
        raise Rejected("invalid_duration", f"{field} is no duration: {str(value)[:80]!r}. {hint}") from None


def microseconds(value: str | int | float | timedelta, field: str = "duration") -> int:
    """The same in whole microseconds, the unit of all times in facts."""
    return round(seconds(value, field) * 1_000_000)
