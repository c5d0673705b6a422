"""`penstock up` and other commands as real processes: free ports, a data directory of their own, no leftovers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock.service.settings import Settings

APP = """
import os
import time
from penstock import App, Event

app = App("shop")


@app.function
def add(a: int, b: int) -> int:
    print("adding")
    return a + b


@app.function
def fail() -> None:
    raise ValueError("out of luck")


@app.function(on="order.created")
def order(event: Event) -> dict:
    return {"total": event.data["total"]}


@app.function
def work(folder: str, number: int) -> int:
    time.sleep(0.1)
    with open(os.path.join(folder, str(number)), "w") as file:
        file.write("done")
    return number
"""
COMMAND = (sys.executable, "-m", "penstock.cli.main")


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(look: Callable[[], Any], within: float = 20.0) -> Any:
    """The first truthy answer of `look`; fails when the time is over."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within:g} s; the last answer was {found!r}"
        time.sleep(0.02)
    return found


class Penstock:
    """One `penstock up`, and commands that talk to it."""

    def __init__(self, folder: Path, arguments: tuple[str, ...] = ("shop:app",), **variables: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        (folder / "shop.py").write_text(APP, encoding="utf-8")
        self.http_port, self.nats_port = free_port(), free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PENSTOCK_DATA_DIR": str(self.data),
            "PENSTOCK_HTTP_PORT": str(self.http_port),
            "PENSTOCK_NATS_PORT": str(self.nats_port),
            "PENSTOCK_URL": f"http://127.0.0.1:{self.http_port}",
            "PENSTOCK_SYNC_PROCESSES": "2",
            "PENSTOCK_GRACE": "2",
            "PENSTOCK_LOG_FORMAT": "console",
            **variables,
        }
        self.arguments = arguments
        self.process: subprocess.Popen[str] | None = None
        self.out, self.err = folder / "up.out", folder / "up.err"

    @property
    def key(self) -> str:
        return (self.data / "api-key").read_text().strip()

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=str(self.data), nats_port=self.nats_port)

    def start(self, within: float = 30.0) -> str:
        """Start it and wait for what it prints when it is ready."""
        with self.out.open("w") as out, self.err.open("a") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "up", *self.arguments], cwd=self.folder, env=self.environment, stdout=out, stderr=err
            )
        process = self.process
        until(lambda: self.out.read_text().endswith("\n") or process.poll() is not None, within)
        assert process.poll() is None, self.err.read_text()
        return self.out.read_text()

    def run(self, *arguments: str, within: float = 30.0) -> subprocess.CompletedProcess[str]:
        """A command against it."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """What a command answers for programs."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def processes(self) -> dict[int, str]:
        """Every process that belongs to it, by the data directory or the folder it works in."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                command = _command_line(entry)
                if command and self._is_mine(entry, command):
                    found[int(entry.name)] = command
        return found

    def stop(self, number: int = signal.SIGTERM, within: float = 20.0) -> int:
        """Send a signal to the supervisor; answers with its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(within)

    def _is_mine(self, entry: Path, command: str) -> bool:
        try:
            return str(self.data) in command or (entry / "cwd").readlink() == self.folder
        except OSError:
            return False


def _command_line(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def penstock(folder: Path, *arguments: str, **variables: str) -> Iterator[Penstock]:
    """A running `penstock up`, gone without a trace afterwards."""
    product = Penstock(folder, arguments or ("shop:app",), **variables)
    try:
        product.start()
        yield product
    finally:
        for pid in product.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if product.process is not None:
            product.process.wait(10)
