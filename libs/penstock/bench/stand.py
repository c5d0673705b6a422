"""A whole Penstock on free ports and an empty directory, for one measurement."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec

from penstock.jetstream.binary import find_server

START_SECONDS = 60.0


class Stand(msgspec.Struct, frozen=True):
    """A running product: where to reach it, and the process at its root."""

    url: str
    nats_port: int
    api_key: str
    pid: int
    data_dir: str
    sink_url: str = ""
    """Where its spans go; empty without spans."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plain_environ() -> dict[str, str]:
    """Our environment without settings: what is measured must not depend on whose machine it is."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "OTEL_"))}


@contextlib.contextmanager
def stand(app: str = "penstock.bench.app:app", *, spans: bool = True) -> Iterator[Stand]:
    """Start `penstock up` with the app, spans exported to a sink that costs the product nothing; stop it afterwards."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory, contextlib.ExitStack() as stack:
        http_port, nats_port, key = free_port(), free_port(), "pk_" + secrets.token_urlsafe(24)
        environ = plain_environ() | {"PENSTOCK_API_KEY": key, "PENSTOCK_NATS_PORT": str(nats_port)}
        sink_url = ""
        if spans:
            sink_port = free_port()
            sink_url = f"http://127.0.0.1:{sink_port}"
            sink = [sys.executable, "-m", "penstock.bench.sink", str(sink_port)]
            stack.enter_context(process(sink, plain_environ(), None))
            environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink_url
        command = [sys.executable, "-m", "penstock.cli.main", "up", app, "--data", directory, "--port", str(http_port)]
        log = Path(directory) / "bench.log"
        root = stack.enter_context(process(command, environ, log))
        url = f"http://127.0.0.1:{http_port}"
        _await_ready(url, root, log)
        yield Stand(url, nats_port, key, root.pid, directory, sink_url)


@contextlib.contextmanager
def process(command: list[str], environ: dict[str, str], log: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """A process with these environment variables, stopped at the end."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb")) if log is not None else subprocess.DEVNULL
        started = subprocess.Popen(  # noqa: S603 - the command is ours
            command, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield started
        finally:
            stop(started)


def stop(started: subprocess.Popen[bytes]) -> None:
    """In good order if it can; nothing happens if it has ended already."""
    started.send_signal(signal.SIGTERM)
    try:
        started.wait(30)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()


def _await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(f"{url}/readyz").status_code == 200 and "penstock call" in log.read_text():
                return
        time.sleep(0.1)
    raise SystemExit(f"penstock up did not become ready:\n{log.read_text()[-4000:]}")


@contextlib.contextmanager
def raw_server() -> Iterator[tuple[str, int]]:
    """A nats-server of its own with the product's durability settings; answers with its URL and process id."""
    with tempfile.TemporaryDirectory(prefix="penstock-raw-") as directory:
        port = free_port()
        config = Path(directory) / "nats.conf"
        store = Path(directory) / "jetstream"
        config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{store}", sync_interval: always }}\n')
        command = [str(find_server()), "-c", str(config)]
        with process(command, plain_environ(), Path(directory) / "log") as server:
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.02)
            yield f"nats://127.0.0.1:{port}", server.pid
