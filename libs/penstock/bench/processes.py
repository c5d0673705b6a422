"""What processes cost: CPU seconds and resident memory by role, read from /proc (Linux)."""

import itertools
import os
from pathlib import Path

import msgspec

_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(msgspec.Struct, frozen=True):
    """CPU seconds since the process began, and resident bytes now."""

    cpu_seconds: float
    resident_bytes: int


def tree(root: int) -> dict[int, list[str]]:
    """The process and all that descend from it: pid -> command line."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields is not None:
                parents[int(entry.name)] = int(fields[1])
    wanted, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in wanted} - wanted
        grown = bool(more)
        wanted |= more
    return {pid: _command(pid) for pid in wanted}


def role(command: list[str]) -> str:
    """A short name for a process of ours."""
    line = " ".join(command)
    if "nats-server" in line:
        return "nats-server"
    if "workers.child" in line:
        return "worker"
    if "serve" in command:
        names = list(itertools.takewhile(lambda word: not word.startswith("-"), command[command.index("serve") + 1 :]))
        return "runner" if names == ["runner"] else "services"
    return "supervisor"


def costs(root: int) -> dict[str, Cost]:
    """Cost by role, summed over the processes that have it."""
    found: dict[str, Cost] = {}
    for pid, command in tree(root).items():
        fields = _stat(pid)
        if fields is None:
            continue
        cpu = (int(fields[11]) + int(fields[12])) / _TICKS
        resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        before = found.get(role(command), Cost(0.0, 0))
        found[role(command)] = Cost(before.cpu_seconds + cpu, before.resident_bytes + resident)
    return found


def spent(before: dict[str, Cost], after: dict[str, Cost]) -> dict[str, float]:
    """CPU seconds by role between two readings."""
    return {name: cost.cpu_seconds - before.get(name, Cost(0.0, 0)).cpu_seconds for name, cost in after.items()}


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rsplit(")", 1)[1].split()


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []
