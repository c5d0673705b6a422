"""Every service as processes of its own, `penstock serve SERVICE`, on somebody else's NATS and PostgreSQL."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from penstock.service.settings import Settings, load_settings
from penstock_process import COMMAND, free_port, until

SIGNING_KEY = "k" * 32
COPIES = {"ingest": 2, "scheduler": 2, "runner": 2, "notifier": 1, "query": 2}


class Served:
    """Copies of services, each with the password of its own user only."""

    def __init__(self, folder: Path, key: str, passwords: Mapping[str, str], **variables: str) -> None:
        self.folder = folder
        self.key = key
        self.ports: dict[str, int] = {}
        self._passwords = passwords
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PENSTOCK_API_KEY": key,
            "PENSTOCK_SIGNING_KEY": SIGNING_KEY,
            "PENSTOCK_SYNC_PROCESSES": "2",
            "PENSTOCK_LOG_LEVEL": "info",
            "PENSTOCK_LOG_FORMAT": "json",
            "PENSTOCK_GRACE": "1",
            **variables,
        }

    @property
    def http_port(self) -> int:
        """Where the view is read."""
        return self.ports["query-0"]

    @property
    def settings(self) -> Settings:
        """Those of the operator."""
        return load_settings(self._environment("checker", "operator", "query"))

    def start(self, name: str) -> None:
        """Start a copy such as `runner-1`."""
        self.ports.setdefault(name, free_port())
        service = name.partition("-")[0]
        with self.log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*COMMAND, "serve", service, "--port", str(self.ports[name])],
                cwd=self.folder, env=self._environment(name, service), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._processes[name].kill()
        self._processes[name].wait(10)

    def revive(self) -> list[str]:
        """Start again what has ended, as whoever runs containers does."""
        ended = self.ended()
        for name in ended:
            self.start(name)
        return ended

    def ended(self) -> list[str]:
        """Copies that are not running."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def run(self, *arguments: str, within: float = 30.0) -> subprocess.CompletedProcess[str]:
        """A command as operator or as the query service."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder, env=self._environment("command", "operator", "query"),
            capture_output=True, text=True, timeout=within, check=False,
        )  # fmt: skip

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def _environment(self, name: str, *users: str) -> dict[str, str]:
        return {
            **self._variables,
            # As in containers: nothing but NATS and the database is shared.
            "PENSTOCK_DATA_DIR": str(self.folder / f"data-{name}"),
            "PENSTOCK_NATS_PASSWORDS": ",".join(f"{user}={self._passwords[user]}" for user in users),
        }


@contextmanager
def served(folder: Path, key: str, passwords: Mapping[str, str], **variables: str) -> Iterator[Served]:
    """All services ready, after the streams were made; gone afterwards."""
    product = Served(folder, key, passwords, **variables)
    made = product.run("nats", "streams", within=60)
    assert made.returncode == 0, made.stderr
    try:
        names = [f"{service}-{number}" for service, copies in COPIES.items() for number in range(copies)]
        for name in names:
            product.start(name)
        for name in names:
            until(lambda name=name: "ready" in product.log(name).read_text() or name in product.ended(), 90)
            assert name not in product.ended(), product.log(name).read_text()
        yield product
    finally:
        product.stop()
