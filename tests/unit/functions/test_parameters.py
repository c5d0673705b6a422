"""Arguments from JSON by type hint, and the schema that tells callers about them."""

import dataclasses
from typing import Any

import msgspec
import pydantic
import pytest

from penstock.domain.errors import Rejected
from penstock.functions.parameters import Parameters


class Model(pydantic.BaseModel):
    count: int


class Outer(pydantic.BaseModel):
    inner: Model


@dataclasses.dataclass
class Data:
    name: str


class Record(msgspec.Struct):
    flag: bool


def bind(function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    parameters = Parameters(function, "f")
    return parameters.bind(msgspec.json.encode(args), msgspec.json.encode(kwargs))


def take(a: int, m: Model, d: Data, r: Record, many: list[Model] | None = None) -> None: ...


def test_each_kind_of_type_is_made_from_json() -> None:
    """Plain types, models, dataclasses, structs, and models inside lists."""
    found = bind(take, [1, {"count": 2}], {"d": {"name": "x"}, "r": {"flag": True}, "many": [{"count": 3}]})
    assert found == (
        [],
        {"a": 1, "m": Model(count=2), "d": Data("x"), "r": Record(True), "many": [Model(count=3)]},
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "pointer"),
    [
        (["1"], {}, "/args/0"),
        ([1, {"count": "x"}], {}, "/args/1/count"),
        ([], {}, "/kwargs/a"),
        ([1], {"b": 1}, "/kwargs/b"),
        ([1], {"a": 1}, "/kwargs/a"),
        ([1, {"count": 1}, {"name": "x"}, {"flag": True}, [], 6], {}, "/args/5"),
        ([1], {"d": {"name": 1}}, "/kwargs/d"),
    ],
)
def test_what_does_not_fit_is_named(args: list[Any], kwargs: dict[str, Any], pointer: str) -> None:
    """Wrong types, missing, unexpected and doubled arguments."""
    with pytest.raises(Rejected) as caught:
        bind(take, args, kwargs)
    assert caught.value.code == "invalid_arguments"
    assert pointer in [where for where, _ in caught.value.pointers]


def test_rest_arguments_are_taken_where_they_are_declared() -> None:
    """`*args` and `**kwargs` have types too."""

    def rest(a: int, *more: int, **named: str) -> None: ...

    assert bind(rest, [1, 2, 3], {"x": "y"}) == ([2, 3], {"a": 1, "x": "y"})
    with pytest.raises(Rejected):
        bind(rest, [1, "2"], {})
    assert Parameters(rest, "rest").schema["additionalProperties"] == {"type": "string"}


def test_the_schema_says_what_is_needed() -> None:
    """A JSON Schema of the arguments by name."""

    def two(a: int, b: str = "x") -> None: ...

    assert Parameters(two, "two").schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }


def test_references_of_the_schema_lead_somewhere() -> None:
    """Also those of a model inside a model."""

    def outer(o: Outer) -> None: ...

    schema = Parameters(outer, "outer").schema
    assert schema["properties"]["o"]["properties"]["inner"] == {"$ref": "#/$defs/Model"}  # type: ignore[index]
    assert "Model" in schema["$defs"]  # type: ignore[operator]


def test_a_type_that_json_cannot_fill_is_refused_at_once() -> None:
    """When the function is declared, not when it is called."""

    class Socket: ...

    def work(socket: Socket) -> None: ...

    work.__annotations__["socket"] = Socket
    with pytest.raises(Rejected, match="type JSON cannot fill"):
        Parameters(work, "work")
