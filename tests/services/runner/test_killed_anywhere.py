"""A runner killed around each fact that it writes: the next one brings every execution to its one end."""

import asyncio
import sys
from pathlib import Path

import pytest
import uuid_utils

from eventually import eventually
from fact_gate import FactGate
from penstock.domain.execution.commands import LoseAttempt
from penstock.domain.execution.facts import FINAL, StepCompleted
from penstock.handle import fold_recorded, handle
from penstock.jetstream.server import EmbeddedServer
from penstock.service.lifecycle import system_clock
from runner_bench import Bench, StartRunner, runner_environment

HERE = Path(__file__).parent
ASYNC = {"whole": 2, "in_steps": 12}
"""`started` and the outcome, and around ten steps the same. Together fewer than may be under way at once."""
SYNC = {"in_steps_sync": 6}
"""Four steps: each of these needs a process of its own."""


@pytest.mark.parametrize("functions", [ASYNC, SYNC], ids=["async", "sync"])
async def test_a_runner_may_be_killed_around_every_fact(
    nats_server: EmbeddedServer, bench: Bench, start_runner: StartRunner, tmp_path: Path, functions: dict[str, int]
) -> None:
    """Before each fact is sent and after each is stored: one end, the right result, no stored step computed again."""
    async with FactGate(nats_server.port, f"penstock.{bench.names.environment}.x.") as gate:
        executions = await _die(gate, bench, tmp_path, functions)
    stored = {}
    for execution, (function, number, passes) in executions.items():
        before = await bench.facts(execution)
        assert len(before) == 1 + (number if passes else number - 1), (function, number, passes)
        completed = {fact.step for fact in before if isinstance(fact, StepCompleted)}
        ended = any(isinstance(fact, FINAL) for fact in before)
        stored[execution] = (completed, ended, len((tmp_path / execution).read_text().split()))
        await _take_from_lapsed(bench, execution)
    for function in functions:
        await _hurry(bench, function)
    await start_runner("noting_app:app")
    for execution, (function, _, _) in executions.items():
        assert (await bench.final(execution)).state == "succeeded"
        assert await bench.result(execution) == _result(function)
        facts = await bench.facts(execution)
        assert [fact.n for fact in facts] == list(range(1, len(facts) + 1))
        assert [isinstance(fact, FINAL) for fact in facts] == [False] * (len(facts) - 1) + [True]
        completed, ended, noted = stored[execution]
        again = (tmp_path / execution).read_text().split()[noted:]
        assert not completed & set(again)
        assert not (ended and again)
    for function in functions:
        await eventually(lambda function=function: _is_settled(bench, function))


def _result(function: str) -> object:
    if function == "whole":
        return "whole"
    return [f"step-{number}" for number in range(4 if function == "in_steps_sync" else 10)]


async def _die(
    gate: FactGate, bench: Bench, folder: Path, functions: dict[str, int]
) -> dict[str, tuple[str, int, bool]]:
    """An execution for each fact of each function, whose runner was killed when all had come to theirs."""
    command = (str(HERE / "runner_process.py"), f"nats://127.0.0.1:{gate.port}", bench.names.environment)
    with (folder / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, "noting_app:app", stdout=said, stderr=said,
            env={**runner_environment(), "SYNC_PROCESSES": "12"},
        )  # fmt: skip
    executions = {}
    try:
        await eventually(lambda: b"ready" in (folder / "said").read_bytes(), within=40)
        for function, count in functions.items():
            for number in range(1, count + 1):
                for passes in (False, True):
                    execution = uuid_utils.uuid7().hex
                    executions[execution] = (function, number, passes)
                    gate.stop(execution, number, passes)
                    (folder / execution).touch()
        for execution, (function, _, _) in executions.items():
            await bench.enqueue(function, str(folder / execution), execution_id=execution)
        await asyncio.wait_for(gate.all_closed.wait(), 40)

        async def have_arrived() -> bool:
            wanted = (1 + number - (not passes) for _, number, passes in executions.values())
            return [len(await bench.facts(each)) for each in executions] == list(wanted)

        await eventually(have_arrived)
    finally:
        process.kill()
        await process.wait()
    return executions


async def _take_from_lapsed(bench: Bench, execution: str) -> None:
    """What its lapsed lease leads to, without waiting for that."""
    state = fold_recorded(await bench.log.find(execution))
    assert state is not None
    if state.owner:
        await handle(bench.log, execution, LoseAttempt(activation=state.activation), system_clock, lambda: 0.5)


async def _hurry(bench: Bench, function: str) -> None:
    """What silence about its items leads to, without waiting for that."""
    stream, consumer = bench.names.executions, bench.names.runner_consumer(function)
    config = (await bench.connection.js.consumer_info(stream, consumer)).config
    config.ack_wait = 0.1
    await bench.connection.js.add_consumer(stream, config)


async def _is_settled(bench: Bench, function: str) -> bool:
    """Nothing of the function is queued, and nothing is out."""
    info = await bench.connection.js.consumer_info(bench.names.executions, bench.names.runner_consumer(function))
    return info.num_pending == 0 and info.num_ack_pending == 0
