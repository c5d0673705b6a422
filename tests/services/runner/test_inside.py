"""What user code can do while it runs: log, make executions, keep steps."""

from typing import Any

import pytest

from penstock.domain.ids import span_id
from penstock.domain.limits import log_lines_per_attempt_max
from runner_bench import Bench, StartRunner


async def test_lines_of_an_async_attempt_are_kept(bench: Bench, start_runner: StartRunner) -> None:
    """stdout, stderr and logging, also a last line without its end."""
    await start_runner()
    execution = await bench.enqueue("talks")
    lines = await bench.lines(execution, 1, 5)
    found = [(line["stream"], line["level"], line["text"]) for line in lines]
    assert found == [
        ("stdout", "info", "one"),
        ("stderr", "error", "two"),
        ("logging", "info", "penstock.function.talks: three"),
        ("logging", "warning", "mine: four"),
        ("stdout", "info", "five"),
    ]


async def test_lines_of_a_plain_attempt_are_kept(bench: Bench, start_runner: StartRunner) -> None:
    """Also what goes straight to the descriptor."""
    await start_runner()
    lines = await bench.lines(await bench.enqueue("talks_sync"), 1, 3)
    assert {line["text"] for line in lines} == {"one", "penstock.function.talks_sync: two", "three"}


async def test_lines_of_a_crashing_process_are_kept(bench: Bench, start_runner: StartRunner) -> None:
    """What it printed before it fell."""
    await start_runner()
    lines = await bench.lines(await bench.enqueue("segfaults"), 1, 1)
    assert lines[0]["text"] == "about to fall"


@pytest.mark.parametrize("function", ["chatters", "chatters_sync"])
async def test_lines_beyond_the_limit_are_dropped_and_that_is_said(
    bench: Bench, start_runner: StartRunner, function: str
) -> None:
    """The first ones are kept, and the attempt does not suffer."""
    await start_runner()
    execution = await bench.enqueue(function)
    assert (await bench.final(execution)).state == "succeeded"
    lines = await bench.lines(execution, 1, log_lines_per_attempt_max + 1)
    assert [line["text"] for line in lines[:-1]] == [str(number) for number in range(log_lines_per_attempt_max)]
    assert "were dropped" in lines[-1]["text"]


async def test_an_execution_made_inside_has_its_parent(bench: Bench, start_runner: StartRunner) -> None:
    """And its trace goes on from the attempt's span."""
    await start_runner()
    parent = await bench.enqueue("parent")
    child = await bench.final(await bench.result(parent))
    above = await bench.final(parent)
    assert (child.parent_id, child.root_id, child.trace_id) == (parent, parent, above.trace_id)
    assert child.parent_span == span_id(parent, "attempt", "1")


async def test_a_plain_function_makes_executions_and_waits_for_them(bench: Bench, start_runner: StartRunner) -> None:
    """Without `await`."""
    await start_runner()
    child, value = await bench.result(await bench.enqueue("parent_sync"))
    assert value == 3
    assert (await bench.final(child)).metadata == {"by": "parent"}


async def test_steps_are_not_computed_again(bench: Bench, start_runner: StartRunner, tmp_path: Any) -> None:
    """The second attempt gets the stored results."""
    await start_runner()
    journal = tmp_path / "journal"
    execution = await bench.enqueue("steps", str(journal))
    await bench.due(execution)
    assert await bench.result(execution) == [0, 10, 20]
    assert journal.read_text().split() == ["0", "1", "2"]
    assert list((await bench.final(execution)).steps) == ["note", "note#2", "note#3"]


async def test_steps_of_a_plain_function_need_no_await(bench: Bench, start_runner: StartRunner) -> None:
    """The same name twice is two steps."""
    await start_runner()
    assert await bench.result(await bench.enqueue("steps_sync")) == 10


async def test_steps_may_run_at_the_same_time(bench: Bench, start_runner: StartRunner) -> None:
    """Each is stored once, numbered in the order of the calls."""
    await start_runner()
    execution = await bench.enqueue("gathered")
    assert await bench.result(execution) == [1, 2, 3, 4, 5]
    assert len((await bench.final(execution)).steps) == 5
