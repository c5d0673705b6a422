"""Options of functions and of calls, and their limits."""

from typing import Any

import msgspec
import pytest

from penstock.domain import limits
from penstock.domain.errors import Rejected
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.function.options import CallOptions, FunctionSpec, check_metadata, resolve, validate_spec

NOW = 1_800_000_000_000_000
SECOND = 1_000_000


def refused(code: str, **options: Any) -> None:
    with pytest.raises(Rejected) as refusal:
        resolve(CallOptions(**options), NOW)
    assert refusal.value.code == code


def spec_refused(code: str, **fields: Any) -> None:
    with pytest.raises(Rejected) as refusal:
        validate_spec(FunctionSpec(**{"name": "add", **fields}))
    assert refusal.value.code == code


def test_no_options_mean_now_and_without_limits() -> None:
    """Everything is left to the function."""
    options = resolve(CallOptions(), NOW)
    assert (options.run_at, options.discard_at, options.timeout, options.retries) == (None, None, None, None)


def test_a_delay_counts_from_now() -> None:
    """In microseconds."""
    assert resolve(CallOptions(delay="10m"), NOW).run_at == NOW + 600 * SECOND


@pytest.mark.parametrize("at", ["2027-01-31T08:00:00Z", "2027-01-31T09:00:00+01:00", "2027-01-31T08:00:00.000000Z"])
def test_an_instant_is_read_with_its_zone(at: str) -> None:
    """RFC 3339."""
    assert resolve(CallOptions(at=at), NOW).run_at == 1_801_382_400 * SECOND


def test_an_instant_is_exact_to_the_microsecond() -> None:
    """No float in between."""
    assert resolve(CallOptions(at="2027-01-31T08:00:00.123457Z"), NOW).run_at == 1_801_382_400_123_457


@pytest.mark.parametrize("options", [{"delay": 0}, {"at": "2001-01-01T00:00:00Z"}, {"at": "0001-01-01T00:00:00+23:00"}])
def test_a_time_that_has_passed_means_now(options: dict[str, Any]) -> None:
    """It goes to the queue without a timer."""
    assert resolve(CallOptions(**options), NOW).run_at is None


def test_discard_after_counts_from_the_time_it_may_start() -> None:
    """After the delay."""
    options = resolve(CallOptions(delay="10m", discard_after="1h"), NOW)
    assert options.discard_at == NOW + 4200 * SECOND
    assert resolve(CallOptions(discard_after="1h"), NOW).discard_at == NOW + 3600 * SECOND


def test_the_time_of_the_whole_execution_counts_from_its_earliest_start() -> None:
    """A delay is no part of it."""
    assert resolve(CallOptions(total_timeout="1h"), NOW).deadline_at == NOW + 3600 * SECOND
    assert resolve(CallOptions(total_timeout="1h", delay="10m"), NOW).deadline_at == NOW + 4200 * SECOND


@pytest.mark.parametrize(
    "at", ["soon", "", "2027-01-31", "2027-01-31T08:00:00", "9999-12-31T23:59:59-23:59", "2027-02-30T00:00:00Z"]
)
def test_a_bad_instant_is_refused(at: str) -> None:
    """No zone, no date, or too far ahead."""
    refused("invalid_option", at=at)


@pytest.mark.parametrize(
    "options",
    [
        {"delay": "1s", "at": "2027-01-31T08:00:00Z"}, {"delay": limits.delay_seconds_max + 1}, {"delay": 1e300},
        {"discard_after": 0}, {"discard_after": limits.delay_seconds_max + 1}, {"discard_after": 1e300},
        {"timeout": 0}, {"timeout": limits.timeout_seconds_max + 1}, {"total_timeout": 0}, {"total_timeout": limits.delay_seconds_max + 1}, {"retries": -1}, {"retries": limits.retries_max + 1},  # noqa: E501
        {"priority": 1_000_001}, {"priority": -1_000_001}, {"idempotency_key": ""},
        {"idempotency_key": "k" * (limits.idempotency_key_chars_max + 1)},
    ],
)  # fmt: skip
def test_an_option_beyond_its_limit_is_refused(options: dict[str, Any]) -> None:
    """Each bound has its error."""
    refused("invalid_option", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"delay": limits.delay_seconds_max}, {"timeout": limits.timeout_seconds_max}, {"timeout": 0.001},
        {"total_timeout": limits.delay_seconds_max}, {"retries": limits.retries_max},
        {"discard_after": limits.delay_seconds_max},
        {"idempotency_key": "k" * limits.idempotency_key_chars_max}, {"priority": -1_000_000},
    ],
)  # fmt: skip
def test_an_option_at_its_limit_is_taken(options: dict[str, Any]) -> None:
    """The limit itself is allowed."""
    resolve(CallOptions(**options), NOW)


@pytest.mark.parametrize("field", ["delay", "discard_after", "timeout"])
def test_a_bad_duration_is_refused(field: str) -> None:
    """With its own code."""
    refused("invalid_duration", **{field: "soon"})


def test_an_unknown_option_is_refused() -> None:
    """Rather than ignored."""
    with pytest.raises(msgspec.ValidationError, match="delays"):
        msgspec.json.decode(b'{"delays":1}', type=CallOptions)


@pytest.mark.parametrize(
    "metadata",
    [
        {"k" * (limits.metadata_key_chars_max + 1): "v"}, {"": "v"}, {"k": "v" * (limits.metadata_value_chars_max + 1)},
        {str(number): "v" for number in range(limits.metadata_keys_max + 1)},
    ],
)  # fmt: skip
def test_metadata_beyond_its_limits_is_refused(metadata: dict[str, str]) -> None:
    """Keys, values and their number are bounded."""
    with pytest.raises(Rejected) as refusal:
        check_metadata(metadata)
    assert refusal.value.code == "invalid_option"


def test_metadata_at_its_limits_is_taken() -> None:
    """The limits themselves are allowed."""
    key = "k" * (limits.metadata_key_chars_max - 2)
    metadata = {f"{key}{n:02}": "v" * limits.metadata_value_chars_max for n in range(limits.metadata_keys_max)}
    assert check_metadata(metadata) == metadata


@pytest.mark.parametrize(
    "fields",
    [
        {"policy": RetryPolicy(retries=limits.retries_max + 1)}, {"policy": RetryPolicy(jitter=1.1)},
        {"policy": RetryPolicy(factor=0.5)}, {"policy": RetryPolicy(initial=-1.0)}, {"policy": RetryPolicy(cap=float("nan"))},  # noqa: E501
        {"policy": RetryPolicy(cap=float("inf"))}, {"timeout": 0.0}, {"timeout": float("nan")},
        {"memory": limits.memory_bytes_min - 1}, {"concurrency": 0}, {"concurrency": limits.concurrency_max + 1},
        {"total_timeout": 0.0}, {"total_timeout": limits.delay_seconds_max + 1},
        {"heartbeat": limits.heartbeat_seconds_min - 0.1}, {"heartbeat": limits.timeout_seconds_max + 1},
        {"on_version_change": "explode"}, {"losses": 0}, {"losses": limits.losses_option_max + 1},
        {"when": "x" * (limits.expression_chars_max + 1)},
    ],
)  # fmt: skip
def test_a_function_option_beyond_its_limit_is_refused(fields: dict[str, Any]) -> None:
    """Each bound has its error."""
    spec_refused("invalid_option", **fields)


@pytest.mark.parametrize(
    "fields", [{"name": "a b"}, {"name": ""}, {"on": ["a.>"]}, {"on": ["a..b"]}, {"on": ["a*"]}, {"on": [""]}]
)
def test_a_hostile_name_in_a_declaration_is_refused(fields: dict[str, Any]) -> None:
    """Of a function or of an event pattern."""
    spec_refused("invalid_name", **fields)


def test_a_function_within_its_limits_is_taken() -> None:
    """And comes back as it was."""
    spec = FunctionSpec(name="add", on=["order.*"], concurrency=1, memory=limits.memory_bytes_min, timeout=60.0)
    assert validate_spec(spec) is spec


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("delay", "soon"), ("delay", "5000w"), ("at", "tomorrow"), ("at", "2027-01-31T08:00:00"), ("timeout", "8d"),
        ("discard_after", 0), ("retries", -1), ("priority", 10**7), ("idempotency_key", ""),
        ("metadata", {str(number): "v" for number in range(limits.metadata_keys_max + 1)}),
    ],
)  # fmt: skip
def test_a_refused_option_is_pointed_to(field: str, value: Any) -> None:
    """Programs find the option at fault without reading the sentence."""
    with pytest.raises(Rejected) as refusal:
        resolve(CallOptions(**{field: value}), NOW)
    assert [pointer for pointer, _ in refusal.value.pointers] == [f"/options/{field}"]
