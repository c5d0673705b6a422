"""Flow control as authors write it: limits, windows, and the options that a function may have."""

from collections.abc import Mapping
from typing import Any, cast, get_args

import msgspec

from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.flow import limits as flow
from penstock.domain.flow.limits import AtLimit, Limit
from penstock.functions.backoff import Duration

__all__ = ["FLOW_OPTIONS", "FLOW_TYPES", "Limit", "RateLimit", "Throttle", "flow_options"]


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


FLOW_OPTIONS = ("concurrency_key", "fifo", "at_limit", "limits", "throttle", "rate_limit", "round_robin")
FLOW_TYPES: dict[str, tuple[type, ...]] = {
    "concurrency_key": (str,),
    "fifo": (bool,),
    "at_limit": (str,),
    "limits": (list, tuple),
    "throttle": (Throttle,),
    "rate_limit": (RateLimit,),
    "round_robin": (str,),
}


def flow_options(given: Mapping[str, Any]) -> flow.FlowOptions:
    """The options of one function. Raises Rejected `invalid_option` or `invalid_duration`."""
    throttle, rate = given.get("throttle"), given.get("rate_limit")
    at_limit = given.get("at_limit") or "queue"
    if at_limit not in get_args(AtLimit):
        raise Rejected(
            "invalid_option", f"at_limit is queue, reject_newest, keep_newest or cancel_running, not {at_limit!r:.80}."
        )
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
    )
