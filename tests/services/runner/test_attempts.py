"""How attempts end: well, badly, late, and with their process."""

import asyncio
from typing import Any

import pytest

from penstock.domain.execution.facts import RetryScheduled
from penstock.wire.names import START_WAIT
from runner_bench import Bench, StartRunner


async def test_an_async_function_runs_to_its_result(bench: Bench, start_runner: StartRunner) -> None:
    """Three facts: enqueued, started, succeeded."""
    await start_runner()
    execution = await bench.enqueue("add", 1, b=2)
    assert await bench.result(execution) == 3
    assert await bench.kinds(execution) == ["Enqueued", "Started", "Succeeded"]


async def test_a_plain_function_runs_to_its_result(bench: Bench, start_runner: StartRunner) -> None:
    """In a process of its own."""
    await start_runner()
    assert await bench.result(await bench.enqueue("add_sync", 1, 2)) == 3


async def test_arguments_and_results_take_the_types_of_the_hints(bench: Bench, start_runner: StartRunner) -> None:
    """JSON in, a dataclass inside, JSON out."""
    await start_runner()
    execution = await bench.enqueue("price", {"id": 21, "note": "n"})
    assert await bench.result(execution) == {"id": 42, "note": "n"}


async def test_arguments_that_do_not_fit_fail_without_a_retry(bench: Bench, start_runner: StartRunner) -> None:
    """The error names the field."""
    await start_runner()
    state = await bench.final(await bench.enqueue("add", "one", 2))
    assert state.error is not None
    assert (state.state, state.error.code) == ("failed", "invalid_arguments")
    assert "args 0: Expected `int`" in state.error.message


async def test_the_event_reaches_the_function(bench: Bench, start_runner: StartRunner) -> None:
    """A function that declares `event` gets it."""
    await start_runner()
    event = {"id": "e1", "name": "user.signup", "data": {"name": "Ada"}}
    assert await bench.result(await bench.enqueue("welcome", event=event)) == "user.signup Ada"


async def test_a_failed_attempt_is_retried_and_knows_its_number(bench: Bench, start_runner: StartRunner) -> None:
    """The second attempt succeeds."""
    await start_runner()
    execution = await bench.enqueue("second_time")
    await bench.due(execution)
    assert await bench.result(execution) == 2
    kinds = ["Enqueued", "Started", "RetryScheduled", "Due", "Started", "Succeeded"]
    assert await bench.kinds(execution) == kinds


async def test_the_wake_up_of_a_retry_is_set(bench: Bench, start_runner: StartRunner) -> None:
    """The fact alone would never wake anybody."""
    from penstock.jetstream.timers import JetStreamTimers

    await start_runner()
    execution = await bench.enqueue("later")
    await bench.until(execution, lambda state: state.state == "retrying")
    timers = JetStreamTimers(bench.connection, bench.names)
    async with asyncio.timeout(5):
        while not await timers.pending(execution, START_WAIT):
            await asyncio.sleep(0.01)


async def test_retry_after_replaces_the_delay(bench: Bench, start_runner: StartRunner) -> None:
    """Two hours, as the function said."""
    await start_runner()
    execution = await bench.enqueue("later")
    await bench.until(execution, lambda state: state.state == "retrying")
    fact = (await bench.facts(execution))[-1]
    assert isinstance(fact, RetryScheduled)
    assert fact.retry_at - fact.at == 7_200_000_000


@pytest.mark.parametrize(
    ("function", "code", "type_name"),
    [
        ("terminal", "user_error", "Terminal"),
        ("not_json", "result_not_serialisable", "ResultNotSerialisable"),
        ("unprintable", "user_error", "Unprintable"),
        ("leaves", "user_error", "SystemExit"),
        ("sleeps", "timed_out", ""),
        ("sleeps_sync", "timed_out", ""),
        ("blocks", "timed_out", ""),
        ("eats_memory", "out_of_memory", "MemoryError"),
    ],
)
async def test_an_attempt_fails_with_its_code(
    bench: Bench, start_runner: StartRunner, function: str, code: str, type_name: str
) -> None:
    """Each way of failing has its own."""
    await start_runner()
    state = await bench.final(await bench.enqueue(function))
    assert state.error is not None
    assert (state.state, state.error.code, state.error.type) == ("failed", code, type_name)
    assert state.error.message


@pytest.mark.parametrize(("function", "how"), [("exits", "exit code 3"), ("segfaults", "SIGSEGV")])
async def test_a_crash_is_tried_again_three_times_at_most(
    bench: Bench, start_runner: StartRunner, function: str, how: str
) -> None:
    """The poison guard ends it, and says how the process died."""
    await start_runner()
    execution = await bench.enqueue(function)
    state = await bench.final(execution)
    assert state.error is not None
    assert (state.state, state.error.code, state.losses) == ("failed", "crashed", 3)
    assert how in state.error.message


async def test_the_runner_works_on_after_a_crash(bench: Bench, start_runner: StartRunner) -> None:
    """Another worker process takes the place of the dead one."""
    await start_runner()
    await bench.final(await bench.enqueue("exits"))
    assert await bench.result(await bench.enqueue("add", 1, 2)) == 3


async def test_a_crash_is_charged_to_the_culprit_alone(bench: Bench, start_runner: StartRunner, tmp_path: Any) -> None:
    """Its neighbour in the process is run again without losing any of its tries."""
    await start_runner()
    neighbour = await bench.enqueue("gate", str(tmp_path / "open"))
    await bench.until(neighbour, lambda state: state.state == "running")
    await bench.final(await bench.enqueue("exits"))
    (tmp_path / "open").touch()
    assert await bench.result(neighbour) == "open"
    assert (await bench.final(neighbour)).losses == 0


async def test_a_large_result_is_stored_by_reference(bench: Bench, start_runner: StartRunner) -> None:
    """The fact carries its name, the object store the value."""
    from penstock.jetstream.objects import Payloads

    await start_runner()
    for size in (200_000, 3_000_000):
        execution = await bench.enqueue("large", size)
        await bench.final(execution)
        fact: Any = (await bench.facts(execution))[-1]
        assert await Payloads(bench.connection, bench.names).size(fact.result_ref) == size + 2


async def test_user_code_sees_only_the_stated_environment(
    bench: Bench, start_runner: StartRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No setting of the service and no other variable, unless it is named."""
    monkeypatch.setenv("PENSTOCK_API_KEY", "secret")
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setenv("GREETING", "hello")
    await start_runner(worker_env="GREETING, PENSTOCK_API_KEY")
    seen = await bench.result(await bench.enqueue("environment"))
    assert seen["GREETING"] == "hello"
    assert seen["TZ"] == "UTC"
    assert "secret" not in seen.values()


async def test_concurrency_1_runs_one_by_one(bench: Bench, start_runner: StartRunner, tmp_path: Any) -> None:
    """Never two at once."""
    await start_runner()
    journal = tmp_path / "journal"
    executions = [await bench.enqueue("one_by_one", str(journal)) for _ in range(6)]
    for execution in executions:
        await bench.final(execution)
    assert journal.read_text().split() == ["in", "out"] * 6


async def test_a_running_execution_is_cancelled(bench: Bench, start_runner: StartRunner, tmp_path: Any) -> None:
    """Plain or async, asked or forced; nobody needs a hint for it."""
    from penstock.domain.execution.commands import RequestCancel
    from penstock.handle import handle
    from penstock.service.lifecycle import system_clock

    await start_runner(sync_processes=2)
    for function in ("gate", "gate_sync"):
        for force in (False, True):
            execution = await bench.enqueue(function, str(tmp_path / "never"))
            await bench.until(execution, lambda state: state.state == "running")
            await handle(bench.log, execution, RequestCancel(force=force), system_clock, lambda: 0.5)
            assert (await bench.final(execution)).state == "cancelled"


async def test_an_app_that_cannot_be_loaded_is_said_at_the_start(start_runner: StartRunner) -> None:
    """With the reason."""
    from penstock.domain.errors import Rejected

    with pytest.raises(Rejected, match="there is no module nowhere"):
        await start_runner("nowhere:app")
