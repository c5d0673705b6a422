"""What a schedule is told to do, as it is stored; and the checks on the way there."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import msgspec
from msgspec import Raw

from penstock.domain.durations import microseconds
from penstock.domain.errors import Rejected
from penstock.domain.ids import is_function_name
from penstock.domain.limits import (
    jitter_seconds_max,
    schedule_interval_seconds_max,
    schedule_interval_seconds_min,
    schedule_key_chars_max,
)
from penstock.domain.schedule.ticks import SECOND, YEARS, Ticks, ticks

CatchUp = Literal["latest", "all", "skip"]
Overlap = Literal["allow", "skip", "buffer_one", "cancel_old"]

KEY = re.compile(rf"[A-Za-z0-9_.-]{{1,{schedule_key_chars_max}}}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ScheduleRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When: an expression in a zone, or an interval; and what becomes of ticks that are missed or overlap.

    `every` and `jitter` are microseconds.
    """

    cron: str | None = None
    every: int | None = None
    timezone: str = "UTC"
    catch_up: CatchUp = "latest"
    overlap: Overlap = "allow"
    jitter: int = 0

    @property
    def ticks(self) -> Ticks:
        return ticks(self.cron, self.every, self.timezone)


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rule, the function that each tick starts, and with what. `app` declared it in code; empty: made by API."""

    function: str
    rule: ScheduleRule
    args: Raw = Raw(b"[]")
    kwargs: Raw = Raw(b"{}")
    metadata: dict[str, str] = {}
    app: str = ""

    def same_as(self, other: "ScheduleSpec") -> bool:
        """Whether both say the same. Raw values have no equality by content."""
        return msgspec.json.encode(self) == msgspec.json.encode(other)


def check_key(key: str) -> str:
    """The same key if it is one. Raises Rejected `invalid_name`."""
    if not KEY.fullmatch(key):
        allowed = f"1 to {schedule_key_chars_max} of A-Z a-z 0-9 _ . -"
        raise Rejected("invalid_name", f"A schedule key is {allowed}, not {key[:80]!r}.", pointers=[("/key", allowed)])
    return key


def make_rule(
    now: int,
    *,
    cron: str | None = None,
    every: str | float | timedelta | None = None,
    timezone: str | None = None,
    catch_up: str = "latest",
    overlap: str = "allow",
    jitter: str | float | timedelta | None = None,
) -> ScheduleRule:
    """A rule from what people write, checked at `now`. Raises Rejected `invalid_option` or `invalid_duration`."""
    if (cron is None) == (every is None):
        raise _wrong("/cron", "Give `cron` or `every`, one of the two.")
    if every is not None and timezone is not None:
        raise _wrong("/timezone", "`timezone` has no meaning for `every`: an interval is the same in every zone.")
    for field, value, known in (("catch_up", catch_up, CatchUp), ("overlap", overlap, Overlap)):
        if value not in get_args(known):
            raise _wrong(f"/{field}", f"`{field}` must be {', '.join(get_args(known))}, not {value!r:.80}.")
    rule = ScheduleRule(
        cron=cron,
        every=_interval(every) if every is not None else None,
        timezone="UTC" if timezone is None else timezone,
        catch_up=catch_up,  # type: ignore[arg-type]
        overlap=overlap,  # type: ignore[arg-type]
        jitter=_jitter(jitter) if jitter is not None else 0,
    )
    return check_rule(rule, now)


def check_rule(rule: ScheduleRule, now: int) -> ScheduleRule:
    """The same rule if it has ticks and its jitter fits between them. Raises Rejected `invalid_option`."""
    first = rule.ticks.after(now)
    if first is None or first > now + YEARS * 366 * 86_400 * SECOND:
        raise _wrong("/cron", f"The cron expression {rule.cron!r} has no tick within the next {YEARS} years.")
    second = rule.ticks.after(first)
    if second is not None and rule.jitter > second - first:
        gap = (second - first) // SECOND
        raise _wrong("/jitter", f"`jitter` must fit between two ticks: here at most {gap} s.")
    return rule


def check_spec(spec: ScheduleSpec, now: int) -> ScheduleSpec:
    """The same spec, if it holds. Raises Rejected `invalid_name` or `invalid_option`."""
    if not is_function_name(spec.function):
        raise Rejected("invalid_name", f"{spec.function[:80]!r} is no function name.", pointers=[("/function", "")])
    check_rule(spec.rule, now)
    return spec


def interval_text(interval: int) -> str:
    """An interval as people write it: `10m`, `1h30m`, `1500ms`."""
    if interval % SECOND:
        return f"{interval / 1000:g}ms"
    seconds, parts = interval // SECOND, []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def rfc3339(instant: int) -> str:
    """Microseconds since the epoch as text: UTC with Z and microseconds."""
    return (_EPOCH + timedelta(microseconds=instant)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _interval(every: Any) -> int:
    interval = microseconds(every, "every")
    low, high = schedule_interval_seconds_min, schedule_interval_seconds_max
    if not low * SECOND <= interval <= high * SECOND:
        raise _wrong("/every", f"`every` must be {low} second to {high} seconds, not {every!r:.80}.")
    return interval


def _jitter(jitter: Any) -> int:
    window = microseconds(jitter, "jitter")
    if window > jitter_seconds_max * SECOND:
        raise _wrong("/jitter", f"`jitter` must be at most {jitter_seconds_max} seconds.")
    return window


def _wrong(pointer: str, detail: str) -> Rejected:
    return Rejected("invalid_option", detail, pointers=[(pointer, detail)])
