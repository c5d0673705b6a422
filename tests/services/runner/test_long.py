"""Executions with very many steps: going on with one costs a snapshot and a tail."""

import asyncio
import os
import time
from collections.abc import Iterator

import pytest
from msgspec import Raw

from eventually import eventually
from penstock.domain.execution import facts as f
from penstock.domain.execution.state import Execution
from penstock.jetstream.log import JetStreamLog
from penstock.ports import Append
from penstock.service.lifecycle import system_clock
from runner_bench import Bench, StartRunner

STORED = 2
"""Result of a step that an earlier attempt has stored; one that is computed here gives 1."""
CHUNK = 500
STEPS = int(os.environ.get("LONG_STEPS", "99950"))


def history(count: int) -> Iterator[f.AnyFact]:
    """What an attempt left behind that had so many steps and then lost its runner."""
    at = system_clock()
    yield f.Started(n=2, at=at, activation=1, attempt=1, runner="gone")
    for number in range(1, count + 1):
        step = "add" if number == 1 else f"add#{number}"
        yield f.StepCompleted(
            n=number + 2, at=at, attempt=1, step=step, started_at=at, result=Raw(b"%d" % STORED), position=number
        )
    yield f.AttemptLost(n=count + 3, at=at, attempt=1, activation=1, runner="gone")
    yield f.Due(n=count + 4, at=at)


async def left_behind(bench: Bench, function: str, count: int, more: int) -> str:
    """An execution with so many steps done and a few to go."""
    execution = await bench.enqueue(function, count + more)
    loaded = await bench.log.load(execution, function)
    assert loaded is not None
    last = loaded.state.sequence
    facts = list(history(count))
    for start in range(0, len(facts), CHUNK):
        chunk = facts[start : start + CHUNK]
        last = await bench.log.append(Append(execution_id=execution, function=function, facts=chunk, expected=last))
    return execution


async def ended(log: JetStreamLog, execution: str, function: str, within: float) -> Execution:
    """The state once it is final."""
    async with asyncio.timeout(within):
        while True:
            loaded = await log.load(execution, function)
            assert loaded is not None
            if loaded.state.is_final:
                return loaded.state
            await asyncio.sleep(0.3)


async def result(bench: Bench, execution: str, function: str, within: float = 20) -> object:
    state = await ended(bench.log, execution, function, within)
    assert state.state == "succeeded", state.error
    last = (await bench.log.read(execution, function, after=state.sequence - 1))[-1].fact
    assert isinstance(last, f.Succeeded)
    return int(bytes(last.result))


@pytest.mark.parametrize("function", ["many", "many_sync"])
async def test_a_long_history_is_gone_on_with(bench: Bench, start_runner: StartRunner, function: str) -> None:
    """Stored steps are not computed again, also when there are more than one read brings."""
    execution = await left_behind(bench, function, 1200, 20)
    await start_runner("long_app:app")
    assert await result(bench, execution, function) == 1200 * STORED + 20


async def test_a_snapshot_takes_the_place_of_a_long_history(bench: Bench, start_runner: StartRunner) -> None:
    """The code is told the same, and at the end the snapshot is forgotten."""
    execution = await left_behind(bench, "many", 1200, 20)
    loaded = await bench.log.load(execution, "many")
    assert loaded is not None
    await bench.log.keep(loaded.first, loaded.state)
    again = await bench.log.load(execution, "many")
    assert again is not None
    assert (again.snapshot, again.first, again.state) == (1204, loaded.first, loaded.state)
    await start_runner("long_app:app")
    assert await result(bench, execution, "many") == 1200 * STORED + 20

    async def forgotten() -> bool:
        known = await bench.log.load(execution, "many")
        return known is not None and known.snapshot == 0

    await eventually(forgotten)


@pytest.mark.chaos
@pytest.mark.timeout(580)
async def test_an_execution_of_100_000_steps_goes_on(
    bench: Bench, start_runner: StartRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measures what a resume costs with a snapshot and without."""

    def tell(what: str, since: float) -> None:
        with capsys.disabled():
            print(f"{STEPS} steps: {what} {time.perf_counter() - since:.2f} s", flush=True)

    at = time.perf_counter()
    execution = await left_behind(bench, "many", STEPS, 50)
    tell("built in", at)
    at = time.perf_counter()
    loaded = await bench.log.load(execution, "many")
    assert loaded is not None
    tell("read without a snapshot in", at)
    at = time.perf_counter()
    await bench.log.keep(loaded.first, loaded.state)
    tell("snapshot stored in", at)
    at = time.perf_counter()
    again = await bench.log.load(execution, "many")
    assert again is not None
    assert again.snapshot == loaded.state.n
    tell("read with a snapshot in", at)
    at = time.perf_counter()
    await start_runner("long_app:app")
    tell("runner started in", at)
    at = time.perf_counter()
    assert await result(bench, execution, "many", 400) == STEPS * STORED + 50
    tell("went on and ended in", at)
