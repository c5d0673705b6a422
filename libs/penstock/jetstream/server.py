"""The embedded nats-server: one per data directory, synced to disk before every acknowledgement, loopback only."""

import asyncio
import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.jetstream.binary import find_server
from penstock.jetstream.refused import StartRefused

HOST = "127.0.0.1"
CONFIG_FILE = "nats.conf"
LOCK_FILE = "nats.lock"
LOG_FILE = "nats.log"
STORE_DIRECTORY = "nats"
PAYLOAD_BYTES_MAX = 1024 * 1024
FILE_STORE_BYTES_MAX = 2**50
"""The disk is the limit. By default the server counts what streams may take at most (LOGS: 4 GiB) against three
quarters of what is free at its start, and refuses to make them on a small disk or for many environments.
"""
START_SECONDS = 30.0
"""Reading a long log back takes the server about two seconds per million messages."""
STOP_SECONDS = 10.0
HANDOVER_SECONDS = 5.0
"""How long to wait for the server of a killed parent, which is on its way out."""

_PR_SET_PDEATHSIG = 1


class EmbeddedServer:
    """A nats-server as a child process. Ctrl-C in the terminal does not reach it (services drain first); it ends
    with its parent all the same."""

    def __init__(
        self,
        data_dir: Path,
        port: int,
        *,
        authorization: dict[str, Any] | None = None,
        program: str | Path | None = None,
    ) -> None:
        """Port 0 takes any free one; `authorization` comes from `access.authorization`."""
        self.data_dir = data_dir
        self.port = port
        self._authorization = authorization
        self._program = program
        self._lock: int | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self.data_dir / LOG_FILE

    def kill(self) -> None:
        """SIGKILL, if it runs; what it acknowledged is on disk."""
        if self.process is not None:
            self.process.kill()

    async def start(self) -> None:
        """Start it and wait until it takes connections. Raises StartRefused."""
        await self.stop()  # of one that died this object still holds the lock
        program = find_server(self._program)
        _make_private(self.data_dir)
        self._lock = await _lock(self.data_dir)
        try:
            self.port = _checked_port(self.port)
            self._write_config()
            self._spawn(program)
            await self._until_ready()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """SIGTERM, then wait; SIGKILL if it takes too long. Nothing that was acknowledged is lost either way."""
        process = self.process
        if process is not None and process.poll() is None:
            process.terminate()
            if not await _until(lambda: process.poll() is not None, STOP_SECONDS):
                process.kill()
                process.wait()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def wait(self) -> int:
        """The exit code, once it has ended for whatever reason."""
        process = self.process
        assert process is not None, "wait() comes after start()"
        while (code := process.poll()) is None:
            await asyncio.sleep(0.1)
        return code

    def _write_config(self) -> None:
        config = settings(self.data_dir, self.port)
        if self._authorization is not None:
            config["authorization"] = self._authorization
        write_private(self.data_dir / CONFIG_FILE, json.dumps(config, indent=2, ensure_ascii=False))

    def _spawn(self, program: Path) -> None:
        assert self._lock is not None
        prepare = _prepare_child(os.getpid()) if sys.platform == "linux" else None
        with self.log.open("ab") as log:
            # The server inherits the lock: a directory stays locked for as long as a server writes into it,
            # even when its parent was killed.
            self.process = subprocess.Popen(  # noqa: S603
                [program, "--config", self.data_dir / CONFIG_FILE],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(self._lock,),
                preexec_fn=prepare,
            )

    async def _until_ready(self) -> None:
        process = self.process
        assert process is not None
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if process.poll() is not None:
                break
            if await _answers(self.port):
                return
            await asyncio.sleep(0.01)
        raise StartRefused(
            "nats_server_failed",
            f"nats-server did not start: {_last_error(self.log)}",
            f"See {self.log}.",
        )


def settings(data_dir: Path, port: int) -> dict[str, Any]:
    """The server's configuration, without its users. No monitoring port: it would tell anyone about the streams."""
    return {
        "server_name": "penstock",
        "listen": f"{HOST}:{port}",
        "max_payload": PAYLOAD_BYTES_MAX,
        "log_file": str(data_dir / LOG_FILE),
        "logfile_size_limit": 16 * 1024 * 1024,
        "logfile_max_num": 3,
        # The default, two minutes, loses acknowledged facts when the machine loses power.
        "jetstream": {
            "store_dir": str(data_dir / STORE_DIRECTORY),
            "sync_interval": "always",
            "max_file_store": FILE_STORE_BYTES_MAX,
        },
    }


def is_synced(data_dir: Path) -> bool | None:
    """Whether the embedded server of this directory syncs before it acknowledges; None if it has never been started.

    Only the server's own configuration tells: an external server does not say, so for it the answer is not known.
    """
    try:
        config = json.loads((data_dir / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return bool(config.get("jetstream", {}).get("sync_interval") == "always")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


async def _lock(data_dir: Path) -> int:
    """An open, locked file. A living owner refuses at once; the server of a dead one gets time to leave."""
    descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    owner = ""

    def locked() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    if not locked():
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        if _is_alive(owner) or not await _until(locked, HANDOVER_SECONDS):
            os.close(descriptor)
            raise StartRefused(
                "data_dir_in_use",
                f"Process {owner or '(unknown)'} already runs the NATS server of {data_dir}.",
                "Stop it first, or set PENSTOCK_DATA_DIR to another directory.",
            )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _checked_port(port: int) -> int:
    with socket.socket() as probe:
        # As the server itself does: connections of a predecessor that are still winding down do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StartRefused(
                "port_busy",
                f"Port {port} on {HOST} cannot be used for NATS ({error.strerror}).",
                "Stop what listens there, or set PENSTOCK_NATS_PORT to another port "
                "(or PENSTOCK_NATS_URL to a running server).",
            ) from None
        return int(probe.getsockname()[1])


def _prepare_child(parent: int) -> Callable[[], None]:
    """Runs in the child before the server does: Linux ends it when its parent dies, however that happens."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(HOST, port), 2)
    except (OSError, TimeoutError):
        return False
    try:
        return (await asyncio.wait_for(reader.readline(), 2)).startswith(b"INFO ")
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _last_error(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "it left no log"
    marked = [line for line in lines if "[FTL]" in line or "[ERR]" in line or "nats-server:" in line]
    return (marked or lines or ["it left no log"])[-1].strip()
