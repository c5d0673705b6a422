"""Traces inside user code: its own spans below ours, and what callers want passed on."""

from typing import Any

import pytest

from penstock.domain.execution.facts import Enqueued
from penstock.domain.ids import span_id
from penstock.domain.trace import Carried, SpanContext, format_traceparent
from penstock.telemetry.spans import spans_of
from runner_bench import Bench, StartRunner

CALLER = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
CARRIED = Carried(CALLER, "congo=t61rcWkgMzE", "user=u1,plan=pro%20plus")


@pytest.fixture
async def runner(start_runner: StartRunner) -> None:
    await start_runner("traced_app:app")


async def spans_by_name(bench: Bench, execution: str) -> dict[str, Any]:
    """Ours, as they go to the collector."""
    return {span.name: span for span in spans_of(await bench.log.find(execution))}


@pytest.mark.parametrize("function", ["traced", "traced_sync"])
async def test_spans_of_user_code_nest_below_the_attempt_and_the_step(
    bench: Bench, runner: None, function: str
) -> None:
    """Each one's parent is there, in the same trace, also in the second attempt of one process."""
    for _ in range(2):
        execution = await bench.enqueue(function)
        theirs = await bench.result(execution)
        ours = await spans_by_name(bench, execution)
        assert {trace for trace, _ in theirs.values()} == {execution}
        assert theirs["before"][1] == theirs["around"][1] == ours["attempt 1"].span_id
        assert theirs["inside"][1] == ours["step load"].span_id
        assert theirs["within"][1] != ours["step load"].span_id


async def test_spans_of_each_try_of_a_step_nest_below_that_try(bench: Bench, runner: None) -> None:
    """The one that failed and the one that worked."""
    execution = await bench.enqueue("stubborn")
    theirs = await bench.result(execution)
    tries = [span.span_id for span in spans_of(await bench.log.find(execution)) if span.name == "step unsure"]
    assert [theirs["try 1"][1], theirs["try 2"][1]] == tries


@pytest.mark.parametrize("function", ["broken", "broken_sync"])
async def test_a_step_that_ends_its_attempt_is_there_for_what_ran_inside(
    bench: Bench, runner: None, function: str
) -> None:
    """It left no fact of its own: the error that ended the attempt tells of it."""
    execution = await bench.enqueue(function)
    state = await bench.final(execution)
    assert state.error is not None
    assert (await spans_by_name(bench, execution))["step load"].span_id == state.error.message


async def test_baggage_and_the_state_of_the_trace_are_current_in_user_code(bench: Bench, runner: None) -> None:
    """So that whatever it calls hears of them; nothing of it stays for the next attempt in the same process."""
    first = await bench.result(await bench.enqueue("carried", carried=CARRIED))
    assert first == [{"user": "u1", "plan": "pro plus"}, "congo=t61rcWkgMzE"]
    assert await bench.result(await bench.enqueue("carried")) == [{}, ""]


async def test_a_child_has_what_its_parent_was_given(bench: Bench, runner: None) -> None:
    """In its first fact, and so in its code; its parent is the attempt that called it."""
    execution = await bench.enqueue("parent", carried=CARRIED)
    called = await bench.until(execution, lambda state: bool(state.children))
    (child,) = called.children
    assert (await bench.result(child))[0] == {"user": "u1", "plan": "pro plus"}
    first = (await bench.facts(child))[0]
    assert isinstance(first, Enqueued)
    assert (first.trace_id, first.tracestate, first.baggage) == (CALLER.trace_id, *CARRIED[1:])
    assert first.parent_span == span_id(execution, "attempt", "1")


async def test_a_command_has_them_in_its_environment(bench: Bench, runner: None) -> None:
    """Under the names that OpenTelemetry gives them."""
    execution = await bench.enqueue("environment", carried=CARRIED)
    found = await bench.result(execution)
    span = SpanContext(CALLER.trace_id, span_id(execution, "attempt", "1"))
    assert found["TRACEPARENT"] == format_traceparent(span)
    assert (found["TRACESTATE"], found["BAGGAGE"]) == CARRIED[1:]
