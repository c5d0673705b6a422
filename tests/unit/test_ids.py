"""Identifiers: valid ones pass, hostile ones do not, derived ones never meet."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain import ids

HEX = "0190a5d4c3b27e6f8a9b0c1d2e3f4a5b"


@pytest.mark.parametrize(
    "text", ["", "0" * 32, HEX[:-1], HEX + "0", HEX.upper(), HEX + "\n", HEX[:-1] + "g", HEX[:-1] + "٣"]
)
def test_what_is_no_execution_id_is_refused(text: str) -> None:
    """An id is also a trace id, so all zero is none."""
    assert not ids.is_execution_id(text)


def test_an_execution_id_is_32_hex_digits() -> None:
    """In lower case."""
    assert ids.is_execution_id(HEX)


@pytest.mark.parametrize("text", ["add", "a", "A-b_9", "x" * 64])
def test_a_function_name_may_be(text: str) -> None:
    """Letters, digits, underscore and hyphen."""
    assert ids.is_function_name(text)


HOSTILE = [
    "",
    "a b",
    "a.b",
    "*",
    ">",
    "a*",
    "a\n",
    "\x00",
    "é",
    "x" * 65,
    "a/b",
    "a\tb",
    "$SYS",
    "..",
    "a'b",
    "a\u202eb",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_function_name_is_refused(text: str) -> None:
    """It would change the meaning of a subject."""
    assert not ids.is_function_name(text)


@pytest.mark.parametrize("text", ["user.signup", "a", ".".join("abcdefgh")])
def test_an_event_name_is_one_to_eight_tokens(text: str) -> None:
    """Joined by dots."""
    assert ids.is_event_name(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b", "a\n", ".".join("abcdefghi"), "x" * 65]
)
def test_a_hostile_event_name_is_refused(text: str) -> None:
    """No empty tokens, wildcards or control characters."""
    assert not ids.is_event_name(text)


derivations = st.sampled_from([ids.keyed_execution_id, ids.event_execution_id, ids.event_record_id])


@given(make=derivations, one=st.tuples(st.text(), st.text(), st.text()), two=st.tuples(st.text(), st.text(), st.text()))
def test_derived_ids_are_equal_only_for_equal_causes(make, one, two) -> None:  # type: ignore[no-untyped-def]
    """Wherever the border between two parts lies."""
    assert ids.is_execution_id(make(*one))
    assert (make(*one) == make(*two)) == (one == two)


def test_different_causes_with_the_same_parts_do_not_meet() -> None:
    """A key and an event of the same name are two executions."""
    made = {ids.keyed_execution_id("dev", "f", "k"), ids.event_execution_id("dev", "f", "k")}
    made |= {ids.child_execution_id("dev", "f", 1), ids.tick_execution_id("dev", "f", 1)}
    assert len(made) == 4


def test_the_border_between_parts_counts() -> None:
    """("ab", "c") is not ("a", "bc")."""
    assert ids.keyed_execution_id("dev", "ab", "c") != ids.keyed_execution_id("dev", "a", "bc")


def test_derived_ids_stay_what_they_are() -> None:
    """Changing the hash would make every accepted key new."""
    assert ids.keyed_execution_id("dev", "add", "order-7") == "cd7f6ff60335d3454e6ec410f709e513"
    assert ids.span_id(HEX) == "6a9e8c3988b109b4"
    assert ids.span_id(HEX, "attempt", "1") == "358266ac2af3f05c"


def test_a_span_id_is_16_hex_digits_and_depends_on_its_path() -> None:
    """Anyone can compute it."""
    made = [ids.span_id(HEX), ids.span_id(HEX, "attempt", "1"), ids.span_id(HEX, "attempt", "1", "step", "a")]
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in made)
    assert len(set(made)) == 3


def test_a_content_hash_tells_contents_apart() -> None:
    """By value of the bytes."""
    assert ids.content_hash(b"a") == ids.content_hash(b"a") != ids.content_hash(b"b")
