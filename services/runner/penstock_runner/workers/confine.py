"""What a worker process does to itself first: die with its runner, dump no core, keep its memory limit."""

import os
import resource
import signal

from penstock.service.kernel import die_with_parent


def die_with(parent: int) -> None:
    """Be killed when the runner dies, however that happens (Linux; elsewhere the closed socket ends us)."""
    die_with_parent()
    if os.getppid() != parent:
        # It died between our start and the line above.
        os._exit(0)


def no_core_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def usual_signals() -> None:
    """Python ignores these, and what is ignored stays ignored in a program that takes its place."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def limit_memory(size: int) -> None:
    """Refuse memory beyond what is in use now and `size` bytes: a MemoryError in user code, not a dead process."""
    used = _data_bytes()
    if used is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (used + size, used + size))


def _data_bytes() -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmData:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None
