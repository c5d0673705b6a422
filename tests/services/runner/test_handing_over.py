"""What becomes of running attempts when their runner stops, dies, or was only thought dead."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from eventually import eventually
from penstock.domain.execution.commands import LoseAttempt, Start, Succeed
from penstock.domain.execution.facts import AttemptLost
from penstock.handle import handle
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.server import EmbeddedServer
from penstock.service.lifecycle import system_clock
from runner_bench import Bench, StartRunner, runner_environment

HERE = Path(__file__).parent


@pytest.fixture
async def other_runner(
    nats_server: EmbeddedServer, bench: Bench, tmp_path: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A runner in a process of its own; what it says is in the file `said`."""
    with (tmp_path / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "runner_process.py"), nats_server.url, bench.names.environment,
            stdout=said, stderr=asyncio.subprocess.STDOUT, env=runner_environment(),
        )  # fmt: skip
    await eventually(lambda: b"ready" in (tmp_path / "said").read_bytes(), within=20)
    yield process
    if process.returncode is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
        await process.wait()


async def take_over(bench: Bench, execution: str) -> None:
    """Do what the sweep does for the attempt of a runner that is gone."""
    state = await bench.until(execution, lambda state: state.state == "running")
    command = LoseAttempt(activation=state.activation)
    await handle(bench.log, execution, command, system_clock, lambda: 0.5)


async def test_a_stopping_runner_lets_attempts_finish(bench: Bench, start_runner: StartRunner, tmp_path: Any) -> None:
    """Within its grace nothing is lost."""
    runtime: Any = await start_runner(grace=15)
    execution = await bench.enqueue("gate", str(tmp_path / "open"))
    await bench.until(execution, lambda state: state.state == "running")
    closing = asyncio.create_task(runtime.close())
    (tmp_path / "open").touch()
    await closing
    assert await bench.kinds(execution) == ["Enqueued", "Started", "Succeeded"]


@pytest.mark.parametrize("function", ["gate", "gate_sync"])
async def test_a_stopping_runner_hands_back_what_does_not_finish(
    bench: Bench, start_runner: StartRunner, tmp_path: Any, function: str
) -> None:
    """The next one runs it, and no try was used up."""
    runtime: Any = await start_runner(grace=0.1)
    execution = await bench.enqueue(function, str(tmp_path / "open"))
    await bench.until(execution, lambda state: state.state == "running")
    await runtime.close()
    lost: Any = (await bench.facts(execution))[2]
    assert isinstance(lost, AttemptLost)
    assert lost.reason == "drained"
    (tmp_path / "open").touch()
    await start_runner()
    assert await bench.result(execution) == "open"
    assert (await bench.final(execution)).losses == 0


async def test_a_stopping_runner_keeps_nothing_that_it_has_not_started(
    bench: Bench, start_runner: StartRunner, tmp_path: Any
) -> None:
    """What waits for a place goes back to the queue untouched."""
    runtime: Any = await start_runner(grace=0.1)
    executions = [await bench.enqueue("gate_sync", str(tmp_path / "open")) for _ in range(3)]
    await bench.until(executions[0], lambda state: state.state == "running")
    await runtime.close()
    (tmp_path / "open").touch()
    await start_runner()
    for execution in executions:
        assert await bench.result(execution) == "open"


async def test_an_attempt_of_a_killed_runner_is_finished_by_another(
    bench: Bench, start_runner: StartRunner, other_runner: asyncio.subprocess.Process, tmp_path: Any
) -> None:
    """Its worker processes die with it, its lease lapses, and the attempt is taken over."""
    execution = await bench.enqueue("gate", str(tmp_path / "open"))
    await bench.until(execution, lambda state: state.state == "running")
    children = Path(f"/proc/{other_runner.pid}/task/{other_runner.pid}/children").read_text().split()
    assert children
    other_runner.kill()
    await other_runner.wait()
    await eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    started: Any = (await bench.facts(execution))[1]
    leases = LeaseTable(bench.connection, bench.names)

    async def has_lapsed() -> bool:
        return not await leases.is_alive(started.runner)

    await eventually(has_lapsed, within=20)
    await take_over(bench, execution)
    (tmp_path / "open").touch()
    await start_runner()
    assert await bench.result(execution) == "open"
    assert (await bench.final(execution)).losses == 1


async def test_the_late_result_of_a_zombie_is_refused(
    bench: Bench, other_runner: asyncio.subprocess.Process, tmp_path: Any
) -> None:
    """A runner that slept through the takeover comes back with a result, and the history does not change."""
    execution = await bench.enqueue("gate", str(tmp_path / "open"))
    await bench.until(execution, lambda state: state.state == "running")
    other_runner.send_signal(signal.SIGSTOP)
    await take_over(bench, execution)
    state = await bench.until(execution, lambda state: state.activation > 0 and not state.owner)
    for command in (
        Start(activation=state.activation, runner="another"),
        Succeed(activation=state.activation, result=Raw(b'"by another"')),
    ):
        await handle(bench.log, execution, command, system_clock, lambda: 0.5)
    before = await bench.facts(execution)
    (tmp_path / "open").touch()
    other_runner.send_signal(signal.SIGCONT)
    await eventually(lambda: b"outcome_too_late" in (tmp_path / "said").read_bytes(), within=20)
    assert len(await bench.facts(execution)) == len(before)
    assert await bench.result(execution) == "by another"
