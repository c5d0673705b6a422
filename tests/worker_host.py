"""Speaks the worker protocol with a host program as the document has it, knowing nothing of our own two ends."""

import json
import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

ANSWER_SECONDS = 20.0
EXECUTION, TRACE = "0123456789abcdef" * 2, "fedcba9876543210" * 2


class Kind(NamedTuple):
    """A host under test: its command line, what it loads, in which mode, and with which further environment."""

    name: str
    command: tuple[str, ...]
    target: str
    mode: str
    environment: Mapping[str, str] = {}


class WorkerHost:
    """One process of a host. `received` are all its messages, in order."""

    def __init__(self, kind: Kind, scratch: Path) -> None:
        self.kind = kind
        self.scratch = scratch
        self.received: list[list[Any]] = []
        self._number = 0
        self._written_before: dict[int, dict[str, int]] = {}
        self._data = b""
        self._marker, self._out, self._err = (tempfile.mkstemp(dir=scratch)[0] for _ in range(3))
        os.ftruncate(self._marker, 8)
        self._socket, theirs = socket.socketpair()
        descriptors = (theirs.fileno(), self._marker)
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        self.process = subprocess.Popen(
            [*kind.command, *map(str, descriptors), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            pass_fds=descriptors,
            env={**environment, "TZ": "UTC", "PENSTOCK_SCRATCH": str(scratch), **kind.environment},
            start_new_session=True,
        )
        theirs.close()

    # What the runner says.
    def send(self, *messages: Sequence[Any], pieces: int = 1) -> None:
        """One frame with these messages, cut into so many pieces on its way."""
        body = msgspec.msgpack.encode(messages)
        data = struct.pack("<I", len(body)) + body
        step = -(-len(data) // pieces)
        for start in range(0, len(data), step):
            self._socket.sendall(data[start : start + step])

    def setup(self, target: str | None = None) -> list[Any]:
        """The first message; answers with the `hello`."""
        self.send(["setup", target or self.kind.target, self.kind.mode, str(self.scratch), None])
        return self.next(lambda message: message[0] == "hello")

    def run(self, function: str, *args: Any) -> int:
        """Begin an attempt; answers with its number."""
        message = self.message(function, *args)
        self.send(message)
        return int(message[1])

    def message(self, function: str, *args: Any) -> list[Any]:
        """A `run` for `send`."""
        self._number += 1
        self._written_before[self._number] = {name: len(data) for name, data in self._output().items()}
        given = (json.dumps(args).encode(), b"{}")
        return ["run", self._number, EXECUTION, function, 1, *given, TRACE, None, {"user": "u1"}, None, None]

    def ask_to_stop(self, number: int) -> None:
        """As the runner does in this mode."""
        if self.kind.mode == "sync":
            self.process.terminate()
        else:
            self.send(["cancel", number])

    def close(self) -> None:
        self._socket.close()

    def end(self) -> None:
        """Leave nothing of it behind."""
        self.process.kill()
        self.process.wait(ANSWER_SECONDS)
        self._socket.close()
        for descriptor in (self._marker, self._out, self._err):
            os.close(descriptor)

    # What the host says.
    def next(self, fits: Any) -> list[Any]:
        """The first message from now on that fits; the others are kept in `received`."""
        deadline = time.monotonic() + ANSWER_SECONDS
        start = len(self.received)
        while not (found := [message for message in self.received[start:] if fits(message)]):
            start = len(self.received)
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            data = self._socket.recv(1 << 20)
            assert data, f"{self.kind.name} closed the socket; it wrote {self.errors()}"
            self._feed(data)
        return found[0]

    def end_of(self, number: int) -> list[Any]:
        """The end of this attempt, which may have come already."""
        for message in self.received:
            if _ends(message, number):
                return message
        return self.next(lambda message: _ends(message, number))

    def result_of(self, number: int) -> Any:
        """What it returned."""
        end = self.end_of(number)
        assert end[0] == "returned", end
        return json.loads(end[2])

    def until_closed(self) -> None:
        """Until the host has closed its end."""
        self._socket.settimeout(ANSWER_SECONDS)
        try:
            while data := self._socket.recv(1 << 20):
                self._feed(data)
        except ConnectionResetError:
            return

    def lines_of(self, number: int) -> list[tuple[str, str]]:
        """(stream, text) of its lines until now; from stdout and stderr where the host left them there."""
        self._take()
        batches = [message[2] for message in self.received if message[0] == "lines" and message[1] == number]
        said = [(stream, text) for batch in batches for _, stream, _, text in batch]
        before = self._written_before[number]
        written = [
            (name, line) for name, data in self._output().items() for line in data[before[name] :].decode().splitlines()
        ]
        return said or written

    def holder(self) -> int:
        """The attempt that holds the process, as the marker says."""
        return int.from_bytes(os.pread(self._marker, 8, 0), _byte_order())

    def errors(self) -> str:
        return self._output()["stderr"].decode(errors="replace")

    def _output(self) -> dict[str, bytes]:
        return {name: os.pread(file, 1 << 20, 0) for name, file in (("stdout", self._out), ("stderr", self._err))}

    def _take(self) -> None:
        """What has arrived already."""
        self._socket.setblocking(False)
        with suppress(BlockingIOError, ConnectionResetError):
            while data := self._socket.recv(1 << 20):
                self._feed(data)

    def _feed(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 4:
            (size,) = struct.unpack_from("<I", self._data)
            if len(self._data) < 4 + size:
                return
            self.received += msgspec.msgpack.decode(self._data[4 : 4 + size])
            self._data = self._data[4 + size :]


def _ends(message: list[Any], number: int) -> bool:
    return message[0] in ("returned", "raised") and message[1] == number


def _byte_order() -> Any:
    return "little" if struct.pack("=I", 1)[0] else "big"


@contextmanager
def worker_host(kind: Kind, scratch: Path) -> Iterator[WorkerHost]:
    """A started host, dead afterwards. It has not been set up yet."""
    host = WorkerHost(kind, scratch)
    try:
        yield host
    finally:
        host.end()
