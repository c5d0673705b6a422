"""Flow control as authors write it: limits, windows, what runs together, and the options that a function may have."""

from collections.abc import Mapping
from typing import Any, cast, get_args

import msgspec

from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.flow import limits as flow
from penstock.domain.flow.limits import AtLimit, Limit, Singleton
from penstock.functions.backoff import Duration

__all__ = ["FLOW_OPTIONS", "FLOW_TYPES", "Batch", "Debounce", "Limit", "RateLimit", "Throttle", "flow_options"]


class Throttle(msgspec.Struct, frozen=True):
    """At most `n` starts in any `per`, for each value of `key` (CEL); what exceeds it starts later."""

    n: int
    per: Duration
    key: str | None = None


class RateLimit(msgspec.Struct, frozen=True):
    """At most `n` executions in any `per`, for each value of `key` (CEL); the rest is discarded, and recorded."""

    n: int
    per: Duration
    key: str | None = None


class Debounce(msgspec.Struct, frozen=True):
    """Executions with the same `key` (CEL) are merged: the newest runs when none has come for `period`, or `max_delay`
    after the first. The others end as it ends.
    """

    period: Duration
    max_delay: Duration | None = None
    key: str | None = None


class Batch(msgspec.Struct, frozen=True):
    """Executions with the same `key` (CEL) run together: `size` of them at once, or fewer when the first has waited for
    `wait`. The function takes a list and returns a list; each execution has its own element.
    """

    size: int
    wait: Duration
    key: str | None = None


FLOW_OPTIONS = (
    "concurrency_key",
    "fifo",
    "at_limit",
    "limits",
    "throttle",
    "rate_limit",
    "round_robin",
    "debounce",
    "singleton",
    "singleton_key",
    "batch",
)
FLOW_TYPES: dict[str, tuple[type, ...]] = {
    "concurrency_key": (str,),
    "fifo": (bool,),
    "at_limit": (str,),
    "limits": (list, tuple),
    "throttle": (Throttle,),
    "rate_limit": (RateLimit,),
    "round_robin": (str,),
    "debounce": (Debounce,),
    "singleton": (str,),
    "singleton_key": (str,),
    "batch": (Batch,),
}


def flow_options(given: Mapping[str, Any], of_events: bool = False) -> flow.FlowOptions:
    """The options of one function; `of_events`: its batches are of events.

    Raises Rejected `invalid_option` or `invalid_duration`.
    """
    throttle, rate = given.get("throttle"), given.get("rate_limit")
    at_limit = given.get("at_limit") or "queue"
    if at_limit not in get_args(AtLimit):
        raise Rejected("invalid_option", f"at_limit is one of {', '.join(get_args(AtLimit))}, not {at_limit!r:.80}.")
    singleton = given.get("singleton")
    if singleton is not None and singleton not in get_args(Singleton):
        raise Rejected("invalid_option", f"singleton is attach or drop, not {singleton!r:.80}.")
    limits = list(given.get("limits") or [])
    if not all(isinstance(each, Limit) and isinstance(each.n, int) for each in limits):
        raise Rejected("invalid_option", "limits is a list such as [Limit(10, name='api'), Limit(1, key='args[0]')].")
    return flow.FlowOptions(
        concurrency_key=given.get("concurrency_key"),
        fifo=given.get("fifo") or False,
        at_limit=cast(AtLimit, at_limit),
        limits=limits,
        throttle=flow.Throttle(throttle.n, seconds(throttle.per, "per"), throttle.key) if throttle else None,
        rate_limit=flow.RateLimit(rate.n, seconds(rate.per, "per"), rate.key) if rate else None,
        round_robin=given.get("round_robin"),
        debounce=_debounce(given.get("debounce")),
        singleton=cast(Singleton | None, singleton),
        singleton_key=given.get("singleton_key"),
        batch=_batch(given.get("batch"), of_events),
    )


def _debounce(given: Debounce | None) -> flow.Debounce | None:
    if given is None:
        return None
    delay = seconds(given.max_delay, "max_delay") if given.max_delay is not None else None
    return flow.Debounce(seconds(given.period, "period"), delay, given.key)


def _batch(given: Batch | None, of_events: bool) -> flow.Batch | None:
    if given is None:
        return None
    if not isinstance(given.size, int) or isinstance(given.size, bool):
        raise Rejected("invalid_option", f"size of batch is a whole number, not {given.size!r:.80}.")
    return flow.Batch(given.size, seconds(given.wait, "wait"), given.key, of_events)
