"""A whole Penstock for tests: `penstock up` on free ports, in a directory of its own, gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from penstock.client.client import Client

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class Server(NamedTuple):
    """A running Penstock; `client()` talks to it."""

    url: str
    nats_url: str
    api_key: str
    data: Path

    def client(self) -> Client:
        """A client of it, to be closed by whoever asked."""
        return Client(url=self.url, api_key=self.api_key)


@contextmanager
def running(app: str, folder: Path, *, path: Path | None = None, **settings: str) -> Iterator[Server]:
    """`penstock up app` while the block runs.

    `app` is "module:attribute", to be found in `path` (the current directory), `folder` holds all that it writes, and
    `settings` are PENSTOCK_* settings by their names in lower case. Raises RuntimeError with what it printed when it
    does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    http_port, nats_port = _free_port(), _free_port()
    url, nats_url = f"http://127.0.0.1:{http_port}", f"nats://127.0.0.1:{nats_port}"
    key = os.urandom(16).hex()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")} | {
        "PENSTOCK_DATA_DIR": str(folder / "data"),
        "PENSTOCK_HTTP_PORT": str(http_port),
        "PENSTOCK_NATS_PORT": str(nats_port),
        "PENSTOCK_API_KEY": key,
        **{f"PENSTOCK_{name.upper()}": value for name, value in settings.items()},
    }
    printed = folder / "up.log"
    with printed.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            [sys.executable, "-m", "penstock.cli.main", "up", app],
            cwd=path or Path.cwd(), env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        _until_ready(process, http_port, printed)
        yield Server(url, nats_url, key, folder / "data")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(process: "subprocess.Popen[bytes]", port: int, printed: Path) -> None:
    import httpx2

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=2.0).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"Penstock did not start:\n{printed.read_text(errors='replace')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
