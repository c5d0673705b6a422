"""One service process under the supervisor: started, listened to, stopped."""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from penstock.jetstream.refused import StartRefused
from penstock.service.kernel import die_with_parent

READY_SECONDS = 60.0
"""A process that is not ready by then is taken for stuck. A view far behind does not count: it catches up meanwhile."""


class Part(NamedTuple):
    """A process of the layout: its name and the services in it."""

    name: str
    services: tuple[str, ...]


class Child:
    """The process of one part. `report` is what it said when it became ready."""

    def __init__(self, part: Part, environment: dict[str, str], tell: Callable[[str], None]) -> None:
        self.part = part
        self.report: dict[str, Any] = {}
        self._environment = environment
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._reports: asyncio.StreamReader | None = None
        self._transport: asyncio.ReadTransport | None = None

    async def start(self) -> None:
        """Start the process; it is not ready yet."""
        reading, writing = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "penstock.cli.main", "serve", *self.part.services),
                *("--report-to", str(writing), "--parent", str(os.getpid())),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(writing,),
                # Ctrl-C in the terminal is for the supervisor, which stops its children in order.
                start_new_session=True,
            )
        finally:
            os.close(writing)
        self._reports = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(self._reports)
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: protocol, os.fdopen(reading, "rb", 0)
        )

    async def until_ready(self) -> None:
        """Wait for its word. Raises StartRefused with the reason it gave, or with how it ended."""
        assert self._reports is not None
        try:
            line = await asyncio.wait_for(self._reports.readline(), READY_SECONDS)
        except TimeoutError:
            raise StartRefused(
                "not_ready",
                f"{self.part.name} was not ready within {READY_SECONDS:g} seconds.",
                "Look at what it wrote above; PENSTOCK_LOG_LEVEL=info makes it say more.",
            ) from None
        if not line:
            code = await self.wait()
            raise StartRefused(
                "start_failed",
                f"{self.part.name} ended while it started (exit code {code}).",
                "Look at what it wrote above.",
            )
        message = msgspec.json.decode(line)
        if "code" in message:
            raise StartRefused(message["code"], message["detail"], message["remedy"])
        self.report = message
        for name, problem in message.get("problems", {}).items():
            self._tell(f"{name} is not well: {problem}")
        if message.get("http_port"):
            # A port taken at random is kept when the process starts again.
            self._environment = {**self._environment, "PENSTOCK_HTTP_PORT": str(message["http_port"])}

    async def start_again(self) -> None:
        """A new process instead of one that ended, up to its being ready. Raises StartRefused."""
        self._close_pipe()
        await self.start()
        try:
            await self.until_ready()
        except StartRefused:
            self.kill()
            raise

    async def wait(self) -> int:
        """The exit code, once it has ended for whatever reason."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, seconds: float) -> None:
        """SIGTERM, then wait; SIGKILL if it takes too long."""
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), seconds)
            except TimeoutError:
                self._tell(f"{self.part.name} did not stop within {seconds:g} seconds and is killed")
                self.kill()
                await process.wait()
        self._close_pipe()

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def _close_pipe(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None


def end_with_parent(parent: int) -> None:
    """Called in a child: Linux kills it when its parent dies, however that happens.

    SIGKILL, because a new start must find the ports free at once; what was under way comes back from the log.
    """
    die_with_parent()
    if os.getppid() != parent:
        raise SystemExit(1)
