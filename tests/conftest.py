"""What tests share: a real nats-server, an environment of one's own on it, a connection and a log."""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from examples import examples
from penstock.jetstream.api import request
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.server import EmbeddedServer
from penstock.wire.names import Names

# No PENSTOCK_ variable: those are taken away below, before xdist starts its workers.
IS_STRICT = "TEST_STRICT" in os.environ
"""Set where every test has to run (.ci/run): a skip is then a failure."""

hypothesis.settings.register_profile("penstock", max_examples=examples(hypothesis.settings.default.max_examples))
hypothesis.settings.load_profile("penstock")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skips into failures where nothing may be skipped."""
    report = yield
    if IS_STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
    return report


def pytest_configure() -> None:
    """No setting of the machine's may leak into a test, nor into a process that a test starts."""
    for variable in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        del os.environ[variable]


@pytest.fixture(scope="session")
def nats_server() -> Iterator[EmbeddedServer]:
    """One server for the whole run, on a free port, without users. Leave it running."""
    with tempfile.TemporaryDirectory(dir=_quick_disk(), prefix="penstock-nats-") as directory:
        server = EmbeddedServer(Path(directory), 0)
        asyncio.run(server.start())
        yield server
        asyncio.run(server.stop())


def _quick_disk() -> str | None:
    """Memory, if there is room: every write is synced, which a busy disk makes most of the time of a run."""
    room = Path("/dev/shm")
    return str(room) if room.is_dir() and shutil.disk_usage(room).free > 2 * 1024**3 else None


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A server that the test may stop, kill and start again."""
    server = EmbeddedServer(tmp_path / "data", 0)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def connection(nats_server: EmbeddedServer) -> AsyncIterator[Connection]:
    """A connection to the shared server."""
    connection = Connection("test")
    await connection.open(nats_server.url)
    yield connection
    await connection.close()


@pytest.fixture
async def environment(connection: Connection) -> AsyncIterator[Names]:
    """An environment that no other test sees, with its streams."""
    names = Names(f"t-{uuid.uuid4().hex[:12]}")
    await provision(connection, names)
    yield names
    for stream in names.all_streams():
        await request(connection, f"$JS.API.STREAM.DELETE.{stream}")


@pytest.fixture
async def log(connection: Connection, environment: Names) -> AsyncIterator[JetStreamLog]:
    """The log of that environment."""
    log = JetStreamLog(connection, environment)
    yield log
    await log.close()
