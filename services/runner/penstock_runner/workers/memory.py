"""Watching the memory of worker processes that run functions with a limit."""

import asyncio
import os

from penstock_runner.workers.assignment import Assignment, Killed
from penstock_runner.workers.process import WorkerProcess

LOOK_SECONDS = 0.1


class MemoryWatch:
    """Ends attempts whose process holds more than it may: what the process held before them does not count."""

    def __init__(self) -> None:
        self._watched: dict[WorkerProcess, tuple[Assignment, int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, process: WorkerProcess, assignment: Assignment, limit: int) -> None:
        """Look at it until the attempt ends."""
        before = resident_bytes(process.pid) or 0
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
            held = resident_bytes(process.pid)
            if held is not None and held > before + limit:
                text = f"The function used more than {limit} bytes of memory."
                process.stop(assignment, Killed("out_of_memory", text, terminal=True), force=True)
        if self._watched:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


def resident_bytes(pid: int) -> int | None:
    """Memory that the process holds now; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
