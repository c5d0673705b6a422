"""The processes that user code started: found below a worker process, or by what their environment says, and ended.

A process that left the group of its worker (`setsid`) is found below it for as long as its parents live, and by its
environment afterwards. One that did both, left and cleared its environment, or that another service started
on request, is not found. Linux only; elsewhere the process group is all there is.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

MARK = "PENSTOCK_SCRATCH"
"""The variable by which the processes of one worker process are known: the path of its directory."""
ROUNDS_MAX = 20
"""What starts processes faster than they are found is not waited for."""


def end_below(pid: int) -> None:
    """Kill all that descends from `pid`, but not itself. Each is stopped first, so that none can start another."""
    found: dict[int, None] = {}
    for _ in range(ROUNDS_MAX):
        new = [child for parent in (pid, *found) for child in _children(parent) if child not in found]
        if not new:
            break
        for child in new:
            found[child] = None
            _signal(child, signal.SIGSTOP)
    for child in found:
        _signal(child, signal.SIGKILL)


def end_marked(mark: str) -> None:
    """Kill all processes whose MARK is this path, or one below it."""
    for _ in range(ROUNDS_MAX):
        marked = list(_marked(mark))
        if not marked:
            return
        for pid in marked:
            _signal(pid, signal.SIGKILL)


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                yield from map(int, file.read().split())


def _marked(mark: str) -> Iterator[int]:
    wanted = os.fsencode(f"{MARK}={mark}")
    try:
        processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return
    for pid in processes:
        # Of a process that is dead already the environment is empty; of another user's it cannot be read.
        with suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            names = file.read().split(b"\0")
            if any(name == wanted or name.startswith(wanted + b"/") for name in names) and pid != os.getpid():
                yield pid


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
