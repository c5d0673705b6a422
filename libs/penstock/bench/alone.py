"""The scheduler alone: a server of its own, a log that we write, and `penstock serve scheduler` reading it."""

import contextlib
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from penstock.bench.stand import plain_environ, process, raw_server
from penstock.domain.execution.facts import Enqueued
from penstock.domain.flow.limits import CONCURRENCY, FlowOptions
from penstock.domain.function.options import FunctionSpec
from penstock.domain.system import AdmissionDecided
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.registry import FunctionRegistry
from penstock.ports import Append
from penstock.wire.codec import decode_system_fact
from penstock.wire.names import FLOW_LANE, Names

FUNCTION = "keyed"
AT_ONCE = 5_000
READY_SECONDS = 120.0


def now_us() -> int:
    return time.time_ns() // 1000


class Alone:
    """A log without anybody who reads it, until a scheduler is started."""

    def __init__(self, connection: Connection, url: str, directory: Path) -> None:
        self.names = Names()
        self.connection = connection
        self.log = JetStreamLog(connection, self.names)
        self._url = url
        self._directory = directory
        self._started = 0

    async def declare(self, concurrency: int) -> None:
        """The function, so many at once for each key."""
        flow = FlowOptions(concurrency_key="args[0]")
        registry = FunctionRegistry(self.connection, self.names, self.log)
        await registry.declare(FunctionSpec(name=FUNCTION, concurrency=concurrency, flow=flow), "bench")

    async def enqueue(self, count: int, keys: int, prefix: str = "") -> None:
        """Executions that wait for admission, spread over the keys."""
        for first in range(0, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            verdicts = await self.log.append_many([_gated(f"{prefix}{number % keys}") for number in numbers])
            refused = [each for each in verdicts if not isinstance(each, int)]
            if refused:
                raise SystemExit(f"not stored: {refused[0]}")

    async def heads(self, after: int) -> AsyncIterator[AdmissionDecided]:
        """The heads of admission batches as they come."""
        async for batch in self.log.follow(after, self.names.lane_subject(FLOW_LANE)):
            for entry in batch:
                head = decode_system_fact(entry.data)
                assert isinstance(head, AdmissionDecided)
                yield head

    @contextlib.contextmanager
    def scheduler(self) -> Iterator[subprocess.Popen[bytes]]:
        """One scheduler as a process of its own, stopped in good order at the end."""
        self._started += 1
        environ = plain_environ() | {"PENSTOCK_NATS_URL": self._url, "PENSTOCK_DATA_DIR": str(self._directory)}
        command = [sys.executable, "-m", "penstock.cli.main", "serve", "scheduler"]
        with process(command, environ, self._log_file()) as started:
            yield started

    def await_ready(self, started: subprocess.Popen[bytes]) -> None:
        """Until the scheduler last started says that it is ready."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and started.poll() is None:
            if "ready: scheduler" in self._log_file().read_text():
                return
            time.sleep(0.02)
        raise SystemExit(f"the scheduler did not become ready:\n{self._log_file().read_text()[-4000:]}")

    def _log_file(self) -> Path:
        return self._directory / f"scheduler-{self._started}.log"


@contextlib.asynccontextmanager
async def alone() -> AsyncIterator[Alone]:
    """An empty environment."""
    with raw_server() as (url, _), tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        connection = Connection("bench")
        await connection.open(url)
        try:
            await provision(connection, Names())
            found = Alone(connection, url, Path(directory))
            yield found
            await found.log.close()
        finally:
            await connection.close()


def _gated(key: str) -> Append:
    execution_id = uuid.uuid4().hex
    fact = Enqueued(n=1, at=now_us(), function=FUNCTION, trace_id=execution_id, gated=True, keys={CONCURRENCY: key})
    return Append(execution_id=execution_id, function=FUNCTION, facts=[fact], expected=0)


def total(heads: Sequence[AdmissionDecided]) -> int:
    """Executions decided by these batches."""
    return sum(head.count for head in heads)
