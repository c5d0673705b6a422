"""Watching the memory of worker processes that run functions with a limit."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from penstock_runner.workers.assignment import Assignment, Killed

LOOK_SECONDS = 0.1


class Watched(Protocol):
    """A process that is watched; `pid` is 0 until it is started."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def stop(self, assignment: Assignment, verdict: Killed, force: bool = False) -> None:
        """End the attempt in it."""


def resident_bytes(pid: int) -> int | None:
    """Memory that the process holds now; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def group_bytes(leader: int) -> int | None:
    """The same for a whole process group. Members are looked for among what was started after its leader."""
    if not leader:
        return None
    members = [leader]
    with suppress(OSError):
        later = (int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) > leader)
        members += [pid for pid in later if _group_of(pid) == leader]
    held = [size for pid in members if (size := resident_bytes(pid)) is not None]
    return sum(held) if held else None


def _group_of(pid: int) -> int | None:
    with suppress(OSError):
        return os.getpgid(pid)
    return None


class MemoryWatch:
    """Ends attempts whose process holds more than it may: what the process held before them does not count."""

    def __init__(self, measure: Callable[[int], int | None] = resident_bytes) -> None:
        self._measure = measure
        self._watched: dict[Watched, tuple[Assignment, int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, process: Watched, assignment: Assignment, limit: int) -> None:
        """Look at it until the attempt ends."""
        before = self._measure(process.pid) or 0
        self._watched[process] = (assignment, limit, before)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        for process, (assignment, limit, before) in list(self._watched.items()):
            if assignment.ending.done():
                del self._watched[process]
                continue
            held = self._measure(process.pid)
            if held is not None and held > before + limit:
                text = f"The function used more than {limit} bytes of memory."
                process.stop(assignment, Killed("out_of_memory", text, terminal=True), force=True)
        if self._watched:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
