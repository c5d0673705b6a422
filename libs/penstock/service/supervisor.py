"""Everything on one machine: nats-server and the service processes, started, kept alive, stopped in order."""

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from penstock.jetstream.access import authorization, passwords
from penstock.jetstream.refused import StartRefused
from penstock.jetstream.server import EmbeddedServer
from penstock.jetstream.write_errors import WriteErrors, has_room
from penstock.service.cancel import cancel_all
from penstock.service.child import Child, Part
from penstock.service.keys import ensure_key, prepare_data_dir
from penstock.service.settings import Settings
from penstock.wire.names import Names

logger = structlog.get_logger("penstock")

LAYOUT = (
    Part("hub", ("ingest", "scheduler", "notifier", "query")),
    Part("runner", ("runner",)),
)
"""Which services share a process, in the order of their start; they stop in the reverse order."""

LOCK_FILE = "up.lock"
NATS_AWAY = "unavailable"
"""What a process says that found no NATS when it started."""
BACKOFF_FIRST_SECONDS = 0.2
BACKOFF_MAX_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""Who has lived so long is started again at once when it dies."""

LOOK_SECONDS = 1.0
"""How often to look whether nats-server still writes."""

STOP_EXTRA_SECONDS = 5.0
"""What a process gets to stop, beyond the grace that its attempts get."""


@dataclass
class Supervisor:
    """Runs a layout. `start` raises StartRefused with the first reason; afterwards what dies is started again."""

    settings: Settings
    tell: Callable[[str], None]
    """Is given a sentence whenever something dies or comes back."""
    layout: tuple[Part, ...] = LAYOUT
    key_is_new: bool = False
    key: str = ""
    server: EmbeddedServer | None = None
    children: list[Child] = field(default_factory=list)
    _stopping: bool = False
    _lock: int | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Start everything and wait until all of it is ready. Raises StartRefused; then nothing is left running."""
        try:
            prepare_data_dir(self.settings)
            self._lock = take_lock(self.settings)
            self.key, self.key_is_new = ensure_key(self.settings)
            if not self.settings.nats_url:
                self.server = self._embedded()
                await self.server.start()
                # From now on: who is starting waits for it, and it may die meanwhile.
                self._tasks.append(asyncio.create_task(self._keep_server(self.server)))
                self._tasks.append(asyncio.create_task(self._end_stuck(self.server)))
            for part in self.layout:
                child = Child(part, self._environment(), self.tell)
                self.children.append(child)
                await child.start()
            await self._all_ready()
        except BaseException:
            self._leave_no_time_but_to_runners()
            await self.stop()
            raise
        self._tasks += [asyncio.create_task(self._keep(child)) for child in self.children]

    async def _all_ready(self) -> None:
        """Raises the first refusal at once: an app that cannot be loaded need not wait for the other services."""
        waiting = [asyncio.create_task(self._until_ready(child)) for child in self.children]
        try:
            for each in asyncio.as_completed(waiting):
                await each
        finally:
            await cancel_all(waiting)

    @property
    def http_port(self) -> int:
        """The port that was taken, which the setting 0 leaves open."""
        ports = [int(child.report["http_port"]) for child in self.children if child.report.get("http_port")]
        return ports[0] if ports else self.settings.http_port

    @property
    def nats_url(self) -> str:
        return self.server.url if self.server is not None else self.settings.nats_url

    @property
    def functions(self) -> list[str]:
        """Names of the functions that the runners found."""
        return sorted({name for child in self.children for name in child.report.get("functions", ())})

    @property
    def sample(self) -> tuple[str, str] | None:
        """A function that can be called, and its arguments as JSON."""
        found = [child.report["sample"] for child in self.children if child.report.get("sample")]
        return (found[0][0], found[0][1]) if found else None

    async def stop(self) -> None:
        """Runners first, so that what they finish can still be stored and read; nats-server last."""
        self._stopping = True
        await cancel_all(self._tasks)
        for child in reversed(self.children):
            await child.stop(self.settings.grace + STOP_EXTRA_SECONDS)
        if self.server is not None:
            await self.server.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def kill(self) -> None:
        """Leave no time: what is lost that way comes back from the log."""
        for child in self.children:
            child.kill()

    def _leave_no_time_but_to_runners(self) -> None:
        """Whoever waits to read a refusal should not wait for services that only began; attempts are handed back."""
        for child in self.children:
            if "runner" not in child.part.services:
                child.kill()

    def _embedded(self) -> EmbeddedServer:
        known = passwords(self.settings.data_path)
        rights = authorization([Names(self.settings.env)], known, self.key)
        return EmbeddedServer(self.settings.data_path, self.settings.nats_port, authorization=rights)

    def _environment(self) -> dict[str, str]:
        chosen = {
            "PENSTOCK_ENV": self.settings.env,
            "PENSTOCK_DATA_DIR": str(self.settings.data_path),
            "PENSTOCK_HTTP_PORT": str(self.settings.http_port),
            "PENSTOCK_APP": self.settings.app,
            "PENSTOCK_NODE": self.settings.node,
        }
        if self.server is not None:
            chosen["PENSTOCK_NATS_PORT"] = str(self.server.port)
        return {**os.environ, **chosen}

    async def _until_ready(self, child: Child) -> None:
        try:
            await child.until_ready()
        except StartRefused as refusal:
            if self.server is None or refusal.code != NATS_AWAY:
                raise
            # Our own server died under it and comes back.
            await child.start_again()

    async def _keep(self, child: Child) -> None:
        await self._restart_for_ever(child.part.name, child.wait, child.start_again)

    async def _keep_server(self, server: EmbeddedServer) -> None:
        async def again() -> None:
            await server.stop()
            await server.start()

        await self._restart_for_ever("nats-server", server.wait, again)

    async def _end_stuck(self, server: EmbeddedServer) -> None:
        """End a server that has given up writing, as soon as there is room; it is started again then."""
        errors, is_stuck = WriteErrors(server.log), False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            is_stuck = errors.seen() or is_stuck
            if is_stuck and has_room(server.data_dir):
                self.tell("nats-server could not write, and would refuse everything from now on")
                server.kill()
                await server.wait()
                errors.seen()
                is_stuck = False

    async def _restart_for_ever(self, name: str, wait: Callable[[], Any], again: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        pause = BACKOFF_FIRST_SECONDS
        while not self._stopping:
            since = loop.time()
            code = await wait()
            if self._stopping:
                return
            if loop.time() - since > STEADY_SECONDS:
                pause = BACKOFF_FIRST_SECONDS
            self.tell(f"{name} ended ({describe_exit(code)}); starting it again in {pause:g} seconds")
            await asyncio.sleep(pause)
            pause = min(pause * 2, BACKOFF_MAX_SECONDS)
            try:
                await again()
            except (StartRefused, OSError) as refusal:
                # A full disk or a full process table passes; giving up would not.
                self.tell(f"{name} could not start: {refusal}")
            else:
                self.tell(f"{name} runs again")


def describe_exit(code: int) -> str:
    """An exit code in words."""
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def take_lock(settings: Settings) -> int:
    """A lock on the data directory that ends with this process. Raises StartRefused when another process has it."""
    path = settings.data_path / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise StartRefused(
            "data_dir_in_use",
            f"Process {owner or '(unknown)'} already runs Penstock on {settings.data_path}.",
            "Stop it first, or set PENSTOCK_DATA_DIR (or --data) to another directory.",
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def report(descriptor: int | None, message: dict[str, Any]) -> None:
    """Tell the supervisor something, from inside a child. Without a supervisor nothing happens."""
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.write(descriptor, msgspec.json.encode(message) + b"\n")


def tell_on_stderr(sentence: str) -> None:
    """One line for the person at the terminal."""
    sys.stderr.write(f"penstock: {sentence}\n")
    sys.stderr.flush()


def tell_in_a_line(sentence: str) -> None:
    """The same for programs that collect lines."""
    logger.warning("supervisor", text=sentence)
