"""A runner killed around each fact that it writes: the next one brings the execution to its one end."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from eventually import eventually
from fact_gate import FactGate
from penstock.domain.execution.commands import LoseAttempt
from penstock.domain.execution.facts import FINAL, StepCompleted
from penstock.handle import fold_recorded, handle
from penstock.jetstream.server import EmbeddedServer
from penstock.service.lifecycle import system_clock
from runner_bench import Bench, StartRunner

HERE = Path(__file__).parent
PLAIN_FACTS = 2
"""`started` and `succeeded`."""
STEP_FACTS = 5
"""The same around three steps."""


def cases() -> list[Any]:
    """Each fact of both executions, the kill coming just before it is sent, and just after it is stored."""
    return [
        pytest.param(function, number, stored, id=f"{function}-{'after' if stored else 'before'}-{number}")
        for function, count in (("whole", PLAIN_FACTS), ("in_steps", STEP_FACTS))
        for number in range(1, count + 1)
        for stored in (False, True)
    ]


@pytest.mark.parametrize(("function", "number", "stored"), cases())
async def test_a_runner_may_be_killed_around_every_fact(
    nats_server: EmbeddedServer,
    bench: Bench,
    start_runner: StartRunner,
    tmp_path: Path,
    function: str,
    number: int,
    stored: bool,
) -> None:
    """One final state, and no step computed again once its result is in the log."""
    journal = tmp_path / "journal"
    journal.touch()
    async with FactGate(nats_server.port, f"penstock.{bench.names.environment}.x.", number, stored) as gate:
        execution = await _die_at(gate, bench, function, journal)
    before = await bench.facts(execution)
    assert len(before) == 1 + (number if stored else number - 1)
    noted = journal.read_text().split()

    await _do_without(bench, function, execution)
    await start_runner("noting_app:app")
    assert (await bench.final(execution)).state == "succeeded"
    await eventually(lambda: _is_settled(bench, function))
    facts = await bench.facts(execution)
    assert [fact.n for fact in facts] == list(range(1, len(facts) + 1))
    assert [isinstance(fact, FINAL) for fact in facts] == [False] * (len(facts) - 1) + [True]
    completed = {fact.step for fact in before if isinstance(fact, StepCompleted)}
    again = journal.read_text().split()[len(noted) :]
    assert not completed & set(again)
    if any(isinstance(fact, FINAL) for fact in before):
        assert again == []


async def _die_at(gate: FactGate, bench: Bench, function: str, journal: Path) -> str:
    """An execution whose runner was killed when the gate closed."""
    command = (
        str(HERE / "runner_process.py"),
        f"nats://127.0.0.1:{gate.port}",
        bench.names.environment,
        "noting_app:app",
    )
    with (journal.parent / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=said, stderr=said, env={**os.environ, "PYTHONPATH": str(HERE)}
        )
    try:
        await eventually(lambda: b"ready" in (journal.parent / "said").read_bytes(), within=20)
        execution = await bench.enqueue(function, str(journal))
        await asyncio.wait_for(gate.closed.wait(), 20)

        async def has_arrived() -> bool:
            return len(await bench.facts(execution)) == 1 + gate.passed

        await eventually(has_arrived)
    finally:
        process.kill()
        await process.wait()
    return execution


async def _do_without(bench: Bench, function: str, execution: str) -> None:
    """What its lapsed lease and the silence about its item lead to, without waiting for either."""
    state = fold_recorded(await bench.log.find(execution))
    assert state is not None
    if state.owner:
        await handle(bench.log, execution, LoseAttempt(activation=state.activation), system_clock, lambda: 0.5)
    stream, consumer = bench.names.executions, bench.names.runner_consumer(function)
    config = (await bench.connection.js.consumer_info(stream, consumer)).config
    config.ack_wait = 0.1
    await bench.connection.js.add_consumer(stream, config)


async def _is_settled(bench: Bench, function: str) -> bool:
    """Nothing of the function is queued, and nothing is out."""
    info = await bench.connection.js.consumer_info(bench.names.executions, bench.names.runner_consumer(function))
    return info.num_pending == 0 and info.num_ack_pending == 0
