"""Which waits an event ends."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from penstock.domain.execution.event_waits import EventWait, EventWaits, value_at, wanted

NAME = "doc.approved"


def wait(key: str, match: dict[str, Any] | None = None, after: int = 0, name: str = NAME) -> EventWait:
    raw = {path: Raw(msgspec.json.encode(value)) for path, value in (match or {}).items()}
    return EventWait("e1", "f", key, name, wanted(raw), after, 1)


def matched(match: dict[str, Any], data: Any) -> bool:
    waits = EventWaits()
    waits.add(wait("w", match))
    return bool(waits.matching(NAME, 1, Raw(msgspec.json.encode(data))))


@pytest.mark.parametrize(
    ("match", "data"),
    [
        ({}, None),
        ({"doc": "a"}, {"doc": "a", "more": 1}),
        ({"doc.id": 7}, {"doc": {"id": 7}}),
        ({"n": 1}, {"n": 1.0}),
        ({"n": 1e300}, {"n": 1e300}),
        ({"items.1.id": "b"}, {"items": [{"id": "a"}, {"id": "b"}]}),
        ({"who": {"a": 1, "b": [2.0]}}, {"who": {"b": [2], "a": 1}}),
        ({"gone": None}, {"gone": None}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"ä.ö": "ü"}, {"ä": {"ö": "ü"}}),
    ],
)
def test_equal_values_match(match: dict[str, Any], data: Any) -> None:
    """Equality is that of JSON values, at any depth."""
    assert matched(match, data)


@pytest.mark.parametrize(
    ("match", "data"),
    [
        ({"doc": "a"}, {"doc": "b"}),
        ({"doc": "a"}, None),
        ({"doc": "a"}, ["a"]),
        ({"n": 1}, {"n": True}),
        ({"n": 1}, {"n": "1"}),
        ({"gone": None}, {}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": 1, "b": 1}, {"b": 1}),
        ({"items.2": 1}, {"items": [1]}),
        ({"items.-1": 1}, {"items": [1]}),
        ({"a.b": 1}, {"a.b": 1}),
    ],
)
def test_other_values_do_not(match: dict[str, Any], data: Any) -> None:
    """What is not there equals nothing, not even null; a boolean is no number."""
    assert not matched(match, data)


def test_each_event_ends_the_waits_that_it_fits() -> None:
    """Among many with other values, paths and names."""
    waits = EventWaits()
    for index in range(1000):
        waits.add(wait(f"w{index}", {"doc": index}))
    waits.add(wait("any"))
    waits.add(wait("both", {"doc": 7, "by": "me"}))
    waits.add(wait("other", {"doc": 7}, name="doc.refused"))
    found = waits.matching(NAME, 1, Raw(b'{"doc":7,"by":"me"}'))
    assert {each.key for each in found} == {"w7", "any", "both"}
    assert waits.names == {NAME, "doc.refused"}


def test_an_event_before_the_first_that_counts_ends_nothing() -> None:
    """`after` is the last position that does not count."""
    waits = EventWaits()
    waits.add(wait("w", after=5))
    assert not waits.matching(NAME, 5, Raw(b"null"))
    assert waits.matching(NAME, 6, Raw(b"null"))


def test_a_wait_that_is_over_leaves_nothing_behind() -> None:
    """Also when it was opened twice, as a log that is read again says."""
    waits = EventWaits()
    first, second = wait("w", {"doc": 1}), wait("w", {"doc": 2})
    waits.add(first)
    waits.add(second)
    assert (("e1", "w") in waits, len(waits), waits.of(NAME)) == (True, 1, [second])
    assert waits.remove("e1", "w") is second
    assert waits.remove("e1", "w") is None
    assert not waits.names
    assert not waits.of(NAME)


def test_what_cannot_be_read_matches_nothing() -> None:
    """A wait with such a value stays open until its time is over, and stops nobody."""
    waits = EventWaits()
    waits.add(EventWait("e1", "f", "w", NAME, wanted({"a": Raw(b"[" * 5000 + b"]" * 5000)}), 0, 1))
    assert not waits.matching(NAME, 1, Raw(b'{"a":""}'))


def test_an_array_is_indexed_by_digits_only() -> None:
    """Whatever else Python takes for a number."""
    assert value_at([1, 2], "1") == b"2"
    assert value_at([1, 2], "+1") is None
    assert value_at([1, 2], "\N{ARABIC-INDIC DIGIT ONE}") is None
    assert value_at([1], "9" * 5000) is None
