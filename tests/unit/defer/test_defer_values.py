"""Arguments and lines as Defer showed them."""

from typing import Any

import pytest
from msgspec import Raw

from penstock_query.defer.values import Arguments, argument_list, line_text, log_text


@pytest.mark.parametrize(
    ("given", "array"),
    [
        ({}, b"[]"),
        ({"args": Raw(b" [ 1, [2] ] ")}, b"[1, [2]]"),
        ({"args": Raw(b"[1]"), "kwargs": Raw(b'{"b":2}')}, b'[1,{"b":2}]'),
        ({"kwargs": Raw(b'{"b":2}')}, b'[{"b":2}]'),
        ({"event": Raw(b'{"name":"user.signup"}')}, b'[{"name":"user.signup"}]'),
    ],
)
def test_arguments_are_one_array(given: dict[str, Any], array: bytes) -> None:
    """Positional ones as they were sent, named ones as one object behind them, an event as itself."""
    assert argument_list(Arguments(**given)) == array


def test_a_batch_names_its_members() -> None:
    """It has no arguments of its own."""
    assert argument_list(Arguments(), ["a" * 32]) == b'[{"members":["' + b"a" * 32 + b'"]}]'


def test_a_line_begins_with_the_time_of_day() -> None:
    """In UTC, with milliseconds."""
    assert line_text(1_700_000_000_007_999, "hello") == "22:13:20.007 hello\n"


def test_lines_follow_each_other() -> None:
    """One text, in UTF-8."""
    assert log_text([(0, "a"), (1_000, "b\u00e9")]) == "00:00:00.000 a\n00:00:00.001 b\u00e9\n".encode()
