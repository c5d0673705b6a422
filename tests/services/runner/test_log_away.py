"""What user code sees of a log that is away for a while: nothing but a delay."""

import asyncio
import os
import sys
from pathlib import Path

from eventually import eventually
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.server import EmbeddedServer
from penstock.wire.names import Names
from runner_bench import Bench

HERE = Path(__file__).parent


async def test_what_user_code_asks_waits_for_the_log(own_server: EmbeddedServer, tmp_path: Path) -> None:
    """An execution enqueued while nats-server is dead is made when it is back; the attempt does not fail."""
    names, connection = Names("dev"), Connection("test")
    await connection.open(own_server.url)
    await provision(connection, names)
    bench = Bench(connection, names, JetStreamLog(connection, names))
    journal, said = tmp_path / "journal", tmp_path / "said"
    command = (str(HERE / "runner_process.py"), own_server.url, "dev", "noting_app:app")
    with said.open("wb") as output:
        runner = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": str(HERE)}
        )
    try:
        await eventually(lambda: b"ready" in said.read_bytes(), within=20)
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
    finally:
        runner.kill()
        await runner.wait()
        await connection.close()
