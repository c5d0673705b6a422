"""Functions that run in batches: what each execution brings, and what the function must return."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from penstock import App, Batch, Context, Event
from penstock.domain.errors import Rejected
from penstock.domain.limits import batch_bytes_max, batch_members_max
from penstock.functions.batches import BatchParameters, Member, element_of, results
from penstock.functions.errors import BatchMismatch, ResultNotSerialisable
from penstock.functions.returns import typed_value
from penstock.testing import Simulation
from penstock_runner.workers.attempt import history_of, prepare, returned
from penstock_runner.workers.messages import Given, Run


class Picture(pydantic.BaseModel):
    name: str


app = App("batches")


@app.function(batch=Batch(3, "1s"))
def double(numbers: list[int]) -> list[int]:
    return [each * 2 for each in numbers]


@app.function(batch=Batch(3, "1s"), on="picture.seen")
async def seen(ctx: Context, events: list[Event]) -> list[str]:
    return [each.name for each in events]


@app.function(batch=Batch(batch_members_max, "1ms"))
def show(pictures: Sequence[Picture], ctx: Context) -> list[str]:
    return [f"{ctx.execution_id} {each.name}" for each in pictures]


def run_of(function: str, *given: Given, args: bytes = b"[]") -> Run:
    """One attempt of a batch with these members."""
    return Run(
        number=1, execution_id="e", function=function, attempt=1, args=args, kwargs=b"{}", trace_id="t",
        members=list(given),
    )  # fmt: skip


def carried_out(run: Run) -> Any:
    """What the function returns, as a worker process calls it."""
    function, args, kwargs = prepare(app, run, None, history_of(run))  # type: ignore[arg-type]
    return function(*args, **kwargs)


def test_a_caller_gives_one_item() -> None:
    """The declared parameters are those of one execution: an item where the function takes a list of them."""
    spec = double.spec
    assert spec.positional == ["numbers"]
    assert spec.parameters["properties"] == {"numbers": {"type": "integer"}}
    assert spec.is_gated


def test_items_of_a_batch_of_events_are_their_events() -> None:
    """A caller gives nothing; the declaration says that there must be an event."""
    assert seen.spec.parameters["properties"] == {}
    assert seen.spec.flow.batch is not None
    assert seen.spec.flow.batch.of_events
    assert double.spec.flow.batch is not None
    assert not double.spec.flow.batch.of_events


def test_a_batch_is_one_call_with_all_items() -> None:
    """Each is made from its own arguments, by position or by name, and checked against the hint."""
    members = [Given(b'[{"name": "a"}]', b"{}"), Given(b"[]", b'{"pictures": {"name": "b"}}')]
    assert carried_out(run_of("show", *members)) == ["e a", "e b"]


def test_an_item_that_does_not_fit_is_named_by_its_place() -> None:
    """The message says which of the executions brought it."""
    with pytest.raises(Rejected, match="Number 2 of the batch"):
        carried_out(run_of("double", Given(b"[1]", b"{}"), Given(b'["x"]', b"{}")))


def test_one_without_a_batch_is_a_batch_of_its_own() -> None:
    """An execution that was made before its function ran in batches gets its element, not a list."""
    run = run_of("double", args=b"[4]")
    assert carried_out(run) == [8]
    assert returned(app, run, [8], "").result == b"8"


def test_in_a_simulation_each_call_is_a_batch_of_its_own() -> None:
    """The test kit makes no batches: the function gets a list of one, and the call its element."""
    simulation = Simulation(app)
    assert simulation.call(double, 4).result() == 8
    [run] = simulation.send_event("picture.seen", {"name": "a"})
    assert run.result() == "picture.seen"


def test_a_batch_of_a_function_that_takes_none_any_more_is_refused() -> None:
    """It would be called with nothing else."""
    plain = App("plain")
    plain.function(name="double")(lambda number: number)
    run = run_of("double", Given(b"[1]", b"{}"))
    with pytest.raises(Rejected, match="no batches any more"):
        prepare(plain, run, None, history_of(run))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, 3, "ab", {"a": 1, "b": 2}, [1], [1, 2, 3], {1, 2}])
def test_anything_but_one_element_for_each_item_is_no_result(value: Any) -> None:
    """The number of elements tells whose result is whose."""
    with pytest.raises(BatchMismatch, match="2 "):
        results(value, 2)


def test_a_list_or_a_tuple_of_the_right_length_is_one() -> None:
    """In the order of the items."""
    assert results([1, None], 2) == results((1, None), 2) == [1, None]


def test_the_result_of_a_batch_has_a_limit_of_its_own(tmp_path: Path) -> None:
    """It is divided in memory, so it may not be as large as the result of one execution."""
    run = run_of("double", Given(b"[1]", b"{}"))
    fits = "x" * (batch_bytes_max - 4)
    assert returned(app, run, [fits], str(tmp_path)).path
    with pytest.raises(ResultNotSerialisable):
        returned(app, run, [fits + "x"], str(tmp_path))


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda *items: None,
        lambda items, more: None,
        lambda items, **rest: None,
        lambda items=(): None,
    ],
)
def test_a_batch_takes_one_list(function: Callable[..., Any]) -> None:
    """Anything else is refused when the module is imported."""
    with pytest.raises(Rejected, match="takes one list"):
        BatchParameters(function, "f")


def test_a_batch_takes_no_single_item() -> None:
    """The hint has to be a list, so that nobody takes the parameter for one item."""

    def single(item: int) -> int: ...

    def pair(items: dict[str, int]) -> int: ...

    def several(items: list) -> list: ...  # type: ignore[type-arg]

    for function in (single, pair):
        with pytest.raises(Rejected, match="takes one list"):
            BatchParameters(function, "f")
    assert BatchParameters(several, "f").items([Member(b"[{}]", b"{}", None)]) == [{}]


def test_a_result_has_the_type_of_an_element() -> None:
    """Whoever calls it inside another function gets what the list is made of."""

    def grow(pictures: list[Picture]) -> list[Picture]: ...

    def untyped(pictures: list[Picture]): ...  # type: ignore[no-untyped-def]

    assert typed_value(element_of(grow), b'{"name": "a"}') == Picture(name="a")
    assert typed_value(element_of(untyped), b'{"name": "a"}') == {"name": "a"}
    assert typed_value(double.call_target()[2], b"3") == 3


def test_it_is_still_a_plain_function() -> None:
    """Called directly it takes the list."""
    assert double([1, 2]) == [2, 4]
    assert msgspec.json.encode(double([3])) == b"[6]"
