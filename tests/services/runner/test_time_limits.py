"""Attempts that take too long: for themselves, for the whole execution, or without a sign of life."""

from typing import Any

import msgspec
import pytest

from penstock.domain.execution.create import Origin, enqueued
from penstock.domain.function.options import CallOptions, resolve
from penstock.functions.define import App
from penstock.service.gate import Gate
from runner_bench import Bench, StartRunner

APP = "isolated_app:app"


@pytest.mark.parametrize("function", ["falls_silent", "falls_silent_sync"])
async def test_an_attempt_without_a_heartbeat_times_out(bench: Bench, start_runner: StartRunner, function: str) -> None:
    """The message says what was missing."""
    await start_runner(APP)
    state = await bench.final(await bench.enqueue(function))
    assert state.error is not None
    assert (state.state, state.error.code) == ("failed", "timed_out")
    assert state.error.message == "The function has not called ctx.heartbeat() for 1 seconds."


async def test_an_attempt_that_beats_goes_on(bench: Bench, start_runner: StartRunner) -> None:
    """For longer than the gap."""
    await start_runner(APP)
    assert await bench.result(await bench.enqueue("keeps_beating")) == "done"


@pytest.mark.parametrize("function", ["takes_its_time", "takes_its_time_sync"])
async def test_a_function_may_extend_its_time_out(bench: Bench, start_runner: StartRunner, function: str) -> None:
    """From inside, while it runs."""
    await start_runner(APP)
    assert await bench.result(await bench.enqueue(function)) == "done"


async def test_a_function_may_also_cut_its_time_out(bench: Bench, start_runner: StartRunner) -> None:
    """It counts from the call on."""
    await start_runner(APP)
    state = await bench.final(await bench.enqueue("cuts_its_time"))
    assert state.error is not None
    assert (state.error.code, state.error.message) == ("timed_out", "The attempt took longer than it asked for.")


async def test_the_time_of_the_whole_execution_ends_a_running_attempt(bench: Bench, start_runner: StartRunner) -> None:
    """Without a retry, and it cannot be extended from inside."""
    await start_runner(APP)
    execution = await bench.enqueue("never_ends_async", options={"total_timeout": "500ms"})
    state = await bench.final(execution)
    assert state.error is not None
    assert (state.state, state.error.code) == ("failed", "timed_out")
    assert "total_timeout" in state.error.message
    assert await bench.kinds(execution) == ["Enqueued", "Started", "Failed"]


async def test_the_time_may_be_an_option_of_the_function(bench: Bench, start_runner: StartRunner) -> None:
    """The door that makes the first fact puts it there; a time given with the call goes before."""
    runtime: Any = await start_runner(APP)
    gate = Gate(bench.names, bench.log, runtime.registry)
    for given, wanted in (({}, 300_000), ({"delay": "1s"}, 1_300_000), ({"total_timeout": "1h"}, 3_600_000_000)):
        options = resolve(msgspec.convert(given, CallOptions), 0)
        raw = msgspec.Raw(b"[]")
        fact = enqueued("0" * 32, "never_ends_async", raw, msgspec.Raw(b"{}"), options, 0, Origin())
        assert gate.stamp(fact).deadline_at == wanted


@pytest.mark.parametrize("duration", [0, -1, "8d"])
async def test_an_extension_has_its_limits(duration: Any) -> None:
    """More than nothing, and no more than a time-out may be."""
    from penstock.domain.errors import Rejected
    from penstock.functions.context import Context

    nothing: Any = None
    context = Context(nothing, execution_id="x", attempt=1, function="f", metadata={}, history=nothing)
    with pytest.raises(Rejected):
        context.extend_timeout(duration)


def test_the_options_are_durations() -> None:
    """As all others."""
    app = App("times")

    @app.function(total_timeout="2h", heartbeat="30s")
    async def work() -> None: ...

    assert (work.spec.total_timeout, work.spec.heartbeat) == (7200.0, 30.0)
