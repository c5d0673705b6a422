"""Functions as runners declare them: what the registry holds and what callers may override."""

from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import msgspec

from penstock.domain.durations import microseconds
from penstock.domain.errors import Rejected
from penstock.domain.execution.hooks import HOOKS, NO_HOOKS, Hooks
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.flow.limits import NO_FLOW, FlowOptions
from penstock.domain.flow.validate import validate_flow
from penstock.domain.function.target import HttpTarget, Target, validate_target
from penstock.domain.ids import EVENT_PATTERN, is_function_name
from penstock.domain.limits import (
    concurrency_max,
    delay_seconds_max,
    expression_chars_max,
    heartbeat_seconds_min,
    idempotency_key_chars_max,
    losses_max,
    losses_option_max,
    memory_bytes_min,
    metadata_key_chars_max,
    metadata_keys_max,
    metadata_value_chars_max,
    retries_max,
    timeout_seconds_max,
)

VersionChange = Literal["continue", "fail", "pause"]
"""What becomes of an execution that began with a version that no runner has any more."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FunctionSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One declared function.

    Times are seconds, memory is bytes; `parameters` is a JSON Schema of the arguments object. `target` is where it
    runs if it is no code of the app.
    """

    name: str
    policy: RetryPolicy = RetryPolicy()
    timeout: float | None = None
    total_timeout: float | None = None
    heartbeat: float | None = None
    memory: int | None = None
    losses: int = losses_max
    concurrency: int | None = None
    on: list[str] = []
    when: str | None = None
    version: str = ""
    is_async: bool = True
    parameters: dict[str, object] = {}
    positional: list[str] = []
    description: str = ""
    flow: FlowOptions = NO_FLOW
    pause_on_failure: bool = False
    """Instead of failing it waits until somebody has mended what made it fail."""
    on_version_change: VersionChange = "continue"
    hooks: Hooks = NO_HOOKS
    background: bool = False
    """Netlify's mark: it is started at `/.netlify/functions/<name>`, though its name does not say so."""
    target: Target | None = None
    host: str = "python"
    """The program that its code runs in, for people to see; `target` goes before it."""

    @property
    def is_gated(self) -> bool:
        """True if its executions wait for admission; else they are runnable when made."""
        return self.flow != NO_FLOW

    @property
    def consumer_limit(self) -> int | None:
        """How many may be under way by the function's own consumer; flow control knows better where it is at work."""
        return None if self.is_gated else self.concurrency


def validate_spec(spec: FunctionSpec) -> FunctionSpec:
    """The same spec, if its options are within their limits; raises Rejected `invalid_name` or `invalid_option`."""
    if not is_function_name(spec.name):
        raise Rejected("invalid_name", f"A function name is 1 to 64 of A-Z a-z 0-9 _ -, not {spec.name[:80]!r}.")
    bounds = [
        ("retries", spec.policy.retries, 0, retries_max),
        ("timeout", spec.timeout, 0.001, timeout_seconds_max),
        ("total_timeout", spec.total_timeout, 0.001, delay_seconds_max),
        ("heartbeat", spec.heartbeat, heartbeat_seconds_min, timeout_seconds_max),
        ("losses", spec.losses, 1, losses_option_max),
        ("memory", spec.memory, memory_bytes_min, 2**50),
        ("concurrency", spec.concurrency, 1, concurrency_max),
        ("backoff.initial", spec.policy.initial, 0.0, delay_seconds_max),
        ("backoff.cap", spec.policy.cap, 0.0, delay_seconds_max),
        ("backoff.jitter", spec.policy.jitter, 0.0, 1.0),
        ("backoff.factor", spec.policy.factor, 1.0, 1000.0),
    ]
    for field, value, low, high in bounds:
        if value is not None and not low <= value <= high:
            raise Rejected("invalid_option", f"{field} of {spec.name} must be {low} to {high}, not {value}.")
    for pattern in spec.on:
        if not EVENT_PATTERN.fullmatch(pattern):
            raise Rejected("invalid_name", f"{pattern[:80]!r} is no event name or pattern ('order.*').")
    if spec.when is not None and len(spec.when) > expression_chars_max:
        raise Rejected("invalid_option", f"when of {spec.name} is longer than {expression_chars_max} characters.")
    if spec.on_version_change not in get_args(VersionChange):
        known = ", ".join(get_args(VersionChange))
        raise Rejected("invalid_option", f"on_version_change of {spec.name} is one of {known}.")
    for outcome in HOOKS:
        hook = getattr(spec.hooks, outcome)
        if hook and not is_function_name(hook):
            raise Rejected("invalid_name", f"{outcome} of {spec.name} must name a function, not {hook[:80]!r}.")
    validate_flow(spec.name, spec.concurrency, spec.flow)
    if spec.target is not None:
        validate_target(spec.target, spec.name)
    if isinstance(spec.target, HttpTarget) and spec.memory is not None:
        raise Rejected("invalid_option", f"memory of {spec.name} cannot be limited from here: it runs behind a URL.")
    return spec


class CallOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Options of one call: `at` is an RFC 3339 instant; `delay`, `discard_after` and both time-outs are durations."""

    delay: str | float | None = None
    at: str | None = None
    discard_after: str | float | None = None
    metadata: dict[str, str] = {}
    idempotency_key: str | None = None
    priority: int = 0
    retries: int | None = None
    timeout: str | float | None = None
    total_timeout: str | float | None = None


class ResolvedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The same, checked and in microseconds; `run_at` is None for what runs at once."""

    run_at: int | None
    discard_at: int | None
    deadline_at: int | None
    metadata: dict[str, str]
    idempotency_key: str | None
    priority: int
    retries: int | None
    timeout: int | None


NOTHING_ASKED = ResolvedOptions(
    run_at=None,
    discard_at=None,
    deadline_at=None,
    metadata={},
    idempotency_key=None,
    priority=0,
    retries=None,
    timeout=None,
)
"""What a call without options comes to."""
_DEFAULTS = CallOptions()


def resolve(options: CallOptions, now: int) -> ResolvedOptions:
    """Check the options against their limits at `now` (µs). Raises Rejected `invalid_option` or `invalid_duration`."""
    if options == _DEFAULTS:
        return NOTHING_ASKED
    if options.delay is not None and options.at is not None:
        raise _refused("at", "Give `delay` or `at`, not both.")
    run_at = _instant(options.at) if options.at is not None else None
    if options.delay is not None:
        run_at = now + _duration(options.delay, "delay")
    if run_at is not None and run_at > now + delay_seconds_max * 1_000_000:
        field = "at" if options.delay is None else "delay"
        raise _refused(field, f"{field} may not lie more than {delay_seconds_max} seconds ahead.")
    if run_at is not None and run_at <= now:
        run_at = None
    discard_at = None
    if options.discard_after is not None:
        wait = _duration(options.discard_after, "discard_after")
        if not 0 < wait <= delay_seconds_max * 1_000_000:
            sentence = f"discard_after must be longer than 0 and at most {delay_seconds_max} seconds."
            raise _refused("discard_after", sentence)
        discard_at = (run_at or now) + wait
    timeout = None
    if options.timeout is not None:
        timeout = _duration(options.timeout, "timeout")
        if not 1_000 <= timeout <= timeout_seconds_max * 1_000_000:
            raise _refused("timeout", f"timeout must be 0.001 to {timeout_seconds_max} seconds.")
    deadline_at = None
    if options.total_timeout is not None:
        total = _duration(options.total_timeout, "total_timeout")
        if not 1_000 <= total <= delay_seconds_max * 1_000_000:
            raise _refused("total_timeout", f"total_timeout must be 0.001 to {delay_seconds_max} seconds.")
        deadline_at = (run_at or now) + total
    if options.retries is not None and not 0 <= options.retries <= retries_max:
        raise _refused("retries", f"retries must be 0 to {retries_max}.")
    if not -1_000_000 <= options.priority <= 1_000_000:
        raise _refused("priority", "priority must be -1000000 to 1000000.")
    key = options.idempotency_key
    if key is not None and not 1 <= len(key) <= idempotency_key_chars_max:
        raise _refused("idempotency_key", f"An idempotency key has 1 to {idempotency_key_chars_max} characters.")
    return ResolvedOptions(
        run_at=run_at,
        discard_at=discard_at,
        deadline_at=deadline_at,
        metadata=check_metadata(options.metadata),
        idempotency_key=key,
        priority=options.priority,
        retries=options.retries,
        timeout=timeout,
    )


def check_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """The same metadata if it is within its limits; raises Rejected `invalid_option` naming the key."""
    if len(metadata) > metadata_keys_max:
        raise _refused("metadata", f"metadata has more than {metadata_keys_max} keys.")
    for key, value in metadata.items():
        where = [(f"/options/metadata/{key[:80]}", "too long or empty")]
        if not 1 <= len(key) <= metadata_key_chars_max:
            raise Rejected("invalid_option", f"A key has 1 to {metadata_key_chars_max} characters.", pointers=where)
        if len(value) > metadata_value_chars_max:
            raise Rejected(
                "invalid_option", f"A value has at most {metadata_value_chars_max} characters.", pointers=where
            )
    return metadata


def _refused(field: str, sentence: str) -> Rejected:
    return Rejected("invalid_option", sentence, pointers=[(f"/options/{field}", sentence)])


def _duration(value: str | float, field: str) -> int:
    """Microseconds of an option. Raises Rejected `invalid_duration` that points to the option."""
    try:
        return microseconds(value, field)
    except Rejected as refusal:
        raise Rejected(refusal.code, refusal.detail, pointers=[(f"/options/{field}", "no duration")]) from None


def _instant(text: str) -> int:
    try:
        instant = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        sentence = f"at must be an RFC 3339 instant such as 2027-01-31T08:00:00Z, not {text[:80]!r}."
        raise _refused("at", sentence) from None
    if instant.tzinfo is None:
        raise _refused("at", "at needs a time zone, such as a Z at the end.")
    # Whole numbers: a float second is no exact microsecond, and astimezone refuses the calendar's first and last hours.
    return (instant - _EPOCH) // timedelta(microseconds=1)
