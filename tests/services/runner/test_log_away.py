"""What user code sees of a log that is away for a while: nothing but a delay."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cut_line import CutLine
from eventually import eventually
from penstock.domain.execution.commands import LoseAttempt, Start
from penstock.handle import handle
from penstock.jetstream.connect import Connection
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.server import EmbeddedServer
from penstock.service.lifecycle import system_clock
from penstock.wire.names import Names
from runner_bench import Bench, runner_environment

HERE = Path(__file__).parent


@asynccontextmanager
async def runner_process(port: int, bench: Bench, said: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A runner on noting_app that reaches NATS by this port; killed at the end."""
    command = (str(HERE / "runner_process.py"), f"nats://127.0.0.1:{port}", bench.names.environment, "noting_app:app")
    with said.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=output, stderr=output, env=runner_environment()
        )
    try:
        await eventually(lambda: b"ready" in said.read_bytes(), within=20)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        await process.wait()


async def test_what_user_code_asks_waits_for_the_log(own_server: EmbeddedServer, tmp_path: Path) -> None:
    """An execution enqueued while nats-server is dead is made when it is back; the attempt does not fail."""
    names, connection = Names("dev"), Connection("test")
    await connection.open(own_server.url)
    await provision(connection, names)
    bench = Bench(connection, names, JetStreamLog(connection, names))
    journal, said = tmp_path / "journal", tmp_path / "said"
    async with runner_process(own_server.port, bench, said):
        execution = await bench.enqueue("asks_late", str(journal))
        await eventually(lambda: journal.exists() and "waits" in journal.read_text())
        assert own_server.process is not None
        own_server.process.kill()
        await own_server.wait()
        (tmp_path / "journal.open").touch()
        await eventually(lambda: b"request_waits" in said.read_bytes())
        await own_server.start()
        await eventually(lambda: connection.problem is None)
        assert (await bench.final(await bench.result(execution))).state == "succeeded"
    await connection.close()


async def test_a_runner_that_stood_still_goes_on_with_nothing_that_was_taken_over(
    nats_server: EmbeddedServer, bench: Bench, tmp_path: Path
) -> None:
    """It stands still just before it hears that a step is stored; the next step, by then another's, is not computed."""
    journal, said = tmp_path / "journal", tmp_path / "said"
    async with CutLine(nats_server.port) as line, runner_process(line.port, bench, said) as runner:
        execution = await bench.enqueue("late_steps", str(journal))
        await eventually(lambda: journal.exists() and "one" in journal.read_text())
        line.hold_answers()
        (tmp_path / "journal.open").touch()
        state = await bench.until(execution, lambda state: "one" in state.steps)
        runner.send_signal(signal.SIGSTOP)
        line.release_answers()
        await _lapse(bench, state.owner)
        await _take_over(bench, execution, state.activation)
        runner.send_signal(signal.SIGCONT)
        await eventually(lambda: b"outcome_too_late" in said.read_bytes(), within=20)
    assert journal.read_text().split() == ["one"]


async def _lapse(bench: Bench, runner: str) -> None:
    leases = LeaseTable(bench.connection, bench.names)

    async def is_over() -> bool:
        return not await leases.is_alive(runner)

    await eventually(is_over, within=20)


async def _take_over(bench: Bench, execution: str, activation: int) -> None:
    """The sweep declares the attempt lost, and another runner starts the next one."""
    for command in (LoseAttempt(activation=activation), Start(activation=activation + 4, runner="another")):
        await handle(bench.log, execution, command, system_clock, lambda: 0.5)
