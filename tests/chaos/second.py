"""A second ingest and runner on the same log, behind a line that can lose the server's answers."""

import asyncio
import subprocess
import threading
import time

from cut_line import CutLine
from penstock_process import COMMAND, Penstock, free_port, until


class Second:
    """`penstock serve ingest runner` through a CutLine that lives in a thread of its own."""

    def __init__(self, product: Penstock, app: str) -> None:
        self.http_port = free_port()
        self._product = product
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._line = CutLine(product.nats_port)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._process: subprocess.Popen[str] | None = None
        self._log = (product.folder / "second.err").open("a")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._line.__aenter__(), self._loop).result(10)
        self.ensure()
        process = self._process
        assert process is not None
        until(lambda: "ready" in (self._product.folder / "second.err").read_text() or process.poll() is not None, 40)

    def ensure(self) -> None:
        """Start it if it does not run."""
        if self.pid is None:
            environment = {
                **self._product.environment,
                "PENSTOCK_NATS_PORT": str(self._line.port),
                "PENSTOCK_APP": self._app,
            }
            self._process = subprocess.Popen(
                [*COMMAND, "serve", "ingest", "runner", "--port", str(self.http_port)],
                cwd=self._product.folder, env=environment, stdout=self._log, stderr=self._log, text=True,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL, and a new one."""
        if self._process is not None and self.pid is not None:
            self._process.kill()
            self._process.wait(10)
        self.ensure()

    def lose_answers(self, seconds: float) -> None:
        """Let requests through and swallow all acknowledgements for a while, then break the connection."""
        self.ensure()
        self._loop.call_soon_threadsafe(self._line.hold_answers)
        time.sleep(seconds)
        self._loop.call_soon_threadsafe(self._line.cut)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        asyncio.run_coroutine_threadsafe(self._line.__aexit__(None, None, None), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
