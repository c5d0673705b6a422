"""Results to JSON: nothing is changed silently."""

import dataclasses
import enum
import math
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic
import pytest

from penstock.functions.errors import ResultNotSerialisable
from penstock.functions.values import to_json


@dataclasses.dataclass
class Data:
    value: Any


class Record(msgspec.Struct):
    value: Any


class Model(pydantic.BaseModel):
    value: Any


class Colour(enum.Enum):
    RED = "red"


class Text(str): ...


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (None, b"null"),
        ((1, "a", 1.5, True), b'[1,"a",1.5,true]'),
        (Data([Record(1)]), b'{"value":[{"value":1}]}'),
        (Model(value={"a": Data(1)}), b'{"value":{"a":{"value":1}}}'),
        (Record([Model(value=Record(Colour.RED)), (1,)]), b'{"value":[{"value":{"value":"red"}},[1]]}'),
        (Colour.RED, b'"red"'),
        (Text("x"), b'"x"'),
        (datetime(2027, 1, 1, tzinfo=UTC), b'"2027-01-01T00:00:00Z"'),
        (uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (2**63 - 1, b"9223372036854775807"),
    ],
)
def test_what_json_can_carry_is_carried(value: Any, json: bytes) -> None:
    """JSON's own types, and those with one usual form."""
    assert to_json(value) == json


@pytest.mark.parametrize(
    "bad", [math.nan, math.inf, 2**63, b"bytes", bytearray(b"x"), {1, 2}, frozenset(), {1: "key"}, object(), "\ud800"]
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": [value]}, Data, Record])
def test_what_json_cannot_carry_is_refused(bad: Any, wrap: Any) -> None:
    """Alone, nested, and inside objects."""
    with pytest.raises(ResultNotSerialisable):
        to_json(wrap(bad))


def test_a_value_that_contains_itself_is_refused() -> None:
    """Instead of running for ever."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ResultNotSerialisable, match="contains itself"):
        to_json(loop)


def test_the_place_is_named() -> None:
    """So that it can be found."""
    with pytest.raises(ResultNotSerialisable, match=r"\$\.a\[1\]\.b is nan"):
        to_json({"a": [1, {"b": math.nan}]})
