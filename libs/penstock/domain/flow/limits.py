"""The limits that a function declares, and which of them one of its executions meets."""

from typing import Literal

import msgspec

AtLimit = Literal["queue", "reject_newest", "cancel_newest", "keep_newest", "cancel_running"]
Singleton = Literal["attach", "drop"]

ENVIRONMENT = "environment"
"""Target and label of the limit that comes before all others."""


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most `n` executions at once; with `key` (CEL) for each of its values, with `name` shared by all functions
    that name it.
    """

    n: int
    key: str | None = None
    name: str = ""


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most `n` in any `period` (seconds); with `key` (CEL) for each of its values."""

    n: int
    period: float
    key: str | None = None


class Throttle(Window, frozen=True, omit_defaults=True):
    """What exceeds it starts later."""


class RateLimit(Window, frozen=True, omit_defaults=True):
    """What exceeds it is discarded, and the record says so."""


class Debounce(msgspec.Struct, frozen=True, omit_defaults=True):
    """Triggers are merged into the newest until none has come for `period` seconds, or `max_delay` seconds after the
    first; with `key` (CEL) for each of its values.
    """

    period: float
    max_delay: float | None = None
    key: str | None = None


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """Executions run together, up to `size` of them and at the latest `wait` seconds after the first; with `key` (CEL)
    for each of its values. `of_events`: what each of them brings is its event.
    """

    size: int
    wait: float
    key: str | None = None
    of_events: bool = False


class FlowOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a function declares about its flow besides `concurrency`."""

    concurrency_key: str | None = None
    fifo: bool = False
    at_limit: AtLimit = "queue"
    limits: list[Limit] = []
    throttle: Throttle | None = None
    rate_limit: RateLimit | None = None
    round_robin: str | None = None
    debounce: Debounce | None = None
    singleton: Singleton | None = None
    singleton_key: str | None = None
    batch: Batch | None = None


NO_FLOW = FlowOptions()

CONCURRENCY, THROTTLE, RATE_LIMIT, ROUND_ROBIN = "concurrency", "throttle", "rate_limit", "round_robin"
DEBOUNCE, SINGLETON, BATCH = "debounce", "singleton", "batch"


class RuleSpec(msgspec.Struct, frozen=True):
    """One limit of a function: `label` finds the key in a first fact, `target` is its name for changes at run time."""

    label: str
    target: str
    n: int | None
    period: float = 0.0
    """0: so many at once; else so many in any such number of seconds."""


def limit_label(index: int, limit: Limit) -> str:
    """The label of one of `limits`."""
    return f"limit:{limit.name}" if limit.name else f"limit:{index}"


def key_expressions(flow: FlowOptions) -> dict[str, str]:
    """Label -> CEL expression of each key that must be evaluated when an execution is made."""
    found = {
        CONCURRENCY: flow.concurrency_key,
        THROTTLE: flow.throttle.key if flow.throttle else None,
        RATE_LIMIT: flow.rate_limit.key if flow.rate_limit else None,
        ROUND_ROBIN: flow.round_robin,
        DEBOUNCE: flow.debounce.key if flow.debounce else None,
        SINGLETON: flow.singleton_key,
        BATCH: flow.batch.key if flow.batch else None,
    }
    for index, limit in enumerate(flow.limits):
        found[limit_label(index, limit)] = limit.key
    return {label: text for label, text in found.items() if text is not None}


def slot_rules(function: str, concurrency: int | None, flow: FlowOptions) -> list[RuleSpec]:
    """The limits that must have room before an execution is admitted; the function's own comes first."""
    own = 1 if flow.fifo else concurrency
    rules = [RuleSpec(CONCURRENCY, f"function:{function}", own)]
    for index, limit in enumerate(flow.limits):
        label = limit_label(index, limit)
        rules.append(RuleSpec(label, label if limit.name else f"function:{function}:{index}", limit.n))
    if flow.throttle is not None:
        rules.append(RuleSpec(THROTTLE, f"throttle:{function}", flow.throttle.n, flow.throttle.period))
    return rules


def rate_rule(function: str, flow: FlowOptions) -> RuleSpec | None:
    """The limit that an execution must pass when it comes in."""
    rate = flow.rate_limit
    return RuleSpec(RATE_LIMIT, f"rate_limit:{function}", rate.n, rate.period) if rate is not None else None
