"""Arguments checked by ingest against what the SDK declared: both must agree."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec
from penstock.functions.parameters import Parameters
from penstock_ingest.arguments import ArgumentCheck


@dataclass
class Point:
    """Where something is."""

    x: int
    y: int = 0


class Order(BaseModel):
    """A model."""

    id: int
    tags: list[str] = []


class Deep(msgspec.Struct):
    """A struct that holds itself."""

    name: str
    children: list["Deep"] = []


def plain(a: int, b: int = 2) -> None: ...
def typed(point: Point, order: Order, deep: Deep | None = None) -> None: ...
def rest(a: int, *more: int, **named: str) -> None: ...
def keyword(a: int, *, flag: bool) -> None: ...


def check(function: Any, *args: Any, **kwargs: Any) -> list[str]:
    """The pointers at fault; the SDK's own check must say good or bad alike."""
    parameters = Parameters(function, function.__name__)
    spec = FunctionSpec(name=function.__name__, parameters=parameters.schema, positional=parameters.positional)
    # Declarations travel as JSON.
    spec = msgspec.json.decode(msgspec.json.encode(spec), type=FunctionSpec)
    wrong: list[str] = []
    try:
        ArgumentCheck().check(spec, list(args), kwargs)
    except Rejected as refusal:
        wrong = [pointer for pointer, _ in refusal.pointers]
    try:
        parameters.bind(msgspec.json.encode(args), msgspec.json.encode(kwargs))
    except Rejected:
        assert wrong, "only the runner would refuse this"
    else:
        assert not wrong, "only ingest would refuse this"
    return wrong


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "pointers"),
    [
        (plain, (1,), {}, []),
        (plain, (1, 2), {}, []),
        (plain, (), {"b": 1}, ["/kwargs/a"]),
        (plain, ("1",), {}, ["/args/0"]),
        (plain, (1.5,), {}, ["/args/0"]),
        (plain, (True,), {}, ["/args/0"]),
        (plain, (None,), {}, ["/args/0"]),
        (plain, (1, 2, 3), {}, ["/args/2"]),
        (plain, (1,), {"a": 1}, ["/kwargs/a"]),
        (plain, (1,), {"c": 1}, ["/kwargs/c"]),
        (typed, ({"x": 1}, {"id": 1}), {}, []),
        (typed, ({"x": "1"}, {"id": 1}), {}, ["/args/0/x"]),
        (typed, ({"y": 1}, {"id": 1}), {}, ["/args/0"]),
        (typed, ({"x": 1}, {"id": 1, "tags": [1]}), {}, ["/args/1/tags/0"]),
        (typed, ({"x": 1}, {"id": 1}), {"deep": {"name": "a", "children": [{"name": "b"}]}}, []),
        (typed, ({"x": 1}, {"id": 1}), {"deep": {"name": 1}}, ["/kwargs/deep"]),
        (rest, (1, 2, 3), {"x": "y"}, []),
        (rest, (1,), {"x": 5}, ["/kwargs/x"]),
        (keyword, (1,), {"flag": True}, []),
        (keyword, (1, True), {}, ["/args/1"]),
    ],
)
def test_ingest_and_runner_agree_on_what_fits(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], pointers: list[str]
) -> None:
    """Plain types, dataclasses, models, structs, optional, surplus and keyword-only parameters."""
    assert check(function, *args, **kwargs) == pointers


def test_a_function_that_declares_nothing_takes_everything() -> None:
    """Functions that are not Python may have no schema."""
    ArgumentCheck().check(FunctionSpec(name="f"), [1, "x"], {"y": None})


def test_a_new_declaration_counts_at_once() -> None:
    """The compiled schema is bound to the declaration it was made from."""
    checker = ArgumentCheck()
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    checker.check(FunctionSpec(name="f", parameters=schema, positional=["a"]), [1], {})
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    with pytest.raises(Rejected):
        checker.check(FunctionSpec(name="f", parameters=schema, positional=["a"]), [1], {})


def test_a_schema_that_cannot_be_used_stops_no_call() -> None:
    """The runner still checks by the types; nothing is fetched from elsewhere."""
    schema: dict[str, object] = {"$ref": "http://127.0.0.1:9/schema.json"}
    ArgumentCheck().check(FunctionSpec(name="f", parameters=schema, positional=["a"]), [1], {})
