"""Filters of Defer's lists: what is understood, what is refused, and which attempts fit."""

from typing import Any

import msgspec
import pytest

from penstock.defer.attempts import Attempt
from penstock.domain.errors import Rejected
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.limits import filter_values_max, metadata_keys_max
from penstock_query.defer.requests import Interval, Wanted, asked
from unit.histories import enqueued

PARENT = "a" * 32
EXECUTION = evolve(None, "b" * 32, enqueued(metadata={"user": "u1", "type": "doc"}, parent_id=PARENT))
ATTEMPT = Attempt(
    number=1, state="failed", created_at=0, scheduled_at=5_000_000, updated_at=0, started_at=6_000_000,
    error=ErrorInfo(code="timed_out"),
)  # fmt: skip


def wanted(**filters: Any) -> Wanted:
    return asked(msgspec.json.encode({"filters": filters}), "x")[0]


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b'{"page":null,"filters":null}', b'{"filters":{"states":null}}'])
def test_everything_may_be_left_out(body: bytes) -> None:
    """A list without filters is the whole list."""
    assert asked(body, "x")[0] == Wanted()


def test_empty_arrays_do_not_filter() -> None:
    """As little as those that are left out."""
    empty = wanted(states=[], function_ids=[], error_codes=[], metadata=[{"key": "user", "values": []}])
    assert empty == Wanted()


def test_an_interval_holds_what_is_shown_as_its_ends() -> None:
    """Times are shown with milliseconds, so all microseconds of the last one belong to it."""
    found = wanted(scheduled_at={"from": "1970-01-01T00:00:05.001Z", "to": "1970-01-01T01:00:05.002+01:00"})
    assert found.scheduled == Interval(5_001_000, 5_002_999)
    assert [found.scheduled.holds(at) for at in (5_000_999, 5_001_000, 5_002_999, 5_003_000)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_each_end_of_an_interval_may_be_open() -> None:
    """And what has no time is in none that has an end."""
    assert wanted(started_at={"to": "1970-01-01T00:00:05Z"}).started.holds(0)
    assert wanted(started_at={"from": "1970-01-01T00:00:05Z"}).started.holds(9_000_000)
    assert not wanted(started_at={"from": "1970-01-01T00:00:05Z"}).started.holds(None)
    assert wanted(started_at={}).started.holds(None)


def test_an_attempt_stands_for_its_execution_as_a_parent() -> None:
    """Children belong to the execution, whichever attempt called them."""
    assert wanted(executed_by=f"{PARENT}-2").parent_id == PARENT
    assert wanted(executed_by="nobody").parent_id == "nobody"


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"states": ["created", "failed"]}, True),
        ({"states": ["created"]}, False),
        ({"function_ids": ["work"]}, True),
        ({"function_ids": ["other"]}, False),
        ({"error_codes": ["ER0001"]}, True),
        ({"error_codes": ["ER0000", "ER0003"]}, False),
        ({"scheduled_at": {"from": "1970-01-01T00:00:05Z", "to": "1970-01-01T00:00:05Z"}}, True),
        ({"scheduled_at": {"to": "1970-01-01T00:00:04Z"}}, False),
        ({"started_at": {"from": "1970-01-01T00:00:06Z"}}, True),
        ({"started_at": {"from": "1970-01-01T00:00:07Z"}}, False),
        ({"executed_by": PARENT}, True),
        ({"executed_by": "c" * 32}, False),
        ({"metadata": [{"key": "user", "values": ["u1", "u2"]}, {"key": "type", "values": ["doc"]}]}, True),
        ({"metadata": [{"key": "user", "values": ["u1"]}, {"key": "type", "values": ["img"]}]}, False),
    ],
)
def test_each_filter_looks_at_an_attempt(filters: dict[str, Any], fits: bool) -> None:
    """Its own state, times and error; function, parent and metadata are those of its execution."""
    assert wanted(**filters).fits(EXECUTION, ATTEMPT) is fits


def test_what_did_not_fail_has_no_error_code() -> None:
    """Also where an error of another kind is known."""
    running = msgspec.structs.replace(ATTEMPT, state="started", error=None)
    assert not wanted(error_codes=["ER0000", "ER0001", "ER0002", "ER0003"]).fits(EXECUTION, running)


@pytest.mark.parametrize(
    "filters",
    [
        {"states": ["succeeded"]},
        {"states": "created"},
        {"states": [1]},
        {"error_codes": ["ER0004"]},
        {"scheduled_at": {"from": "yesterday"}},
        {"scheduled_at": {"from": "2026-01-01T00:00:00"}},
        {"scheduled_at": {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}},
        {"scheduled_at": {"since": "2026-01-02T00:00:00Z"}},
        {"started_at": "2026-01-02T00:00:00Z"},
        {"executed_by": 5},
        {"metadata": {"user": ["u1"]}},
        {"metadata": [{"values": ["u1"]}]},
        {"scheduleAt": {}},
        {"function_ids": ["work"] * (filter_values_max + 1)},
        {"metadata": [{"key": "k"}] * (metadata_keys_max + 1)},
    ],
)
def test_a_bad_filter_is_refused(filters: dict[str, Any]) -> None:
    """An unknown or malformed one would list what nobody asked for."""
    with pytest.raises(Rejected) as refused:
        wanted(**filters)
    assert refused.value.code == "invalid_query"
    assert refused.value.detail.startswith("Invalid filter: ")


def test_as_many_values_as_the_limit_allows_are_taken() -> None:
    """The edge itself is inside."""
    assert len(wanted(function_ids=["work"] * filter_values_max).functions) == filter_values_max
    entries = [{"key": "k", "values": ["v"]}] * metadata_keys_max
    assert len(wanted(metadata=entries).metadata) == metadata_keys_max


@pytest.mark.parametrize("body", [b"{", b"\xff", b"hello"])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    """It is not taken for an empty one."""
    with pytest.raises(Rejected, match="cannot decode request body") as refused:
        asked(body, "x")
    assert refused.value.code == "invalid_json"


@pytest.mark.parametrize("body", [b"[]", b'"x"', b'{"filter":{}}'])
def test_a_request_of_another_form_is_refused(body: bytes) -> None:
    """A misspelt member would be a filter that does nothing."""
    with pytest.raises(Rejected, match="Invalid request"):
        asked(body, "x")
