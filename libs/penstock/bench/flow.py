"""What flow control does on a real server: admissions per second, and the way back after a restart."""

import time

import msgspec

from penstock.bench.alone import Alone, alone, now_us
from penstock.bench.processes import costs, spent
from penstock.domain.system import AdmissionDecided

KEYS = 10_000


class Admissions(msgspec.Struct, frozen=True):
    """From the first decision to the last stored batch, with all executions waiting before."""

    admissions: int
    keys: int
    per_second: float
    scheduler_cpu_us: float
    """Microseconds of the scheduler's CPU for each."""


async def admissions(per_key: int, keys: int = KEYS) -> Admissions:
    """Admit `per_key` executions of each key, as many as wait."""
    async with alone() as world:
        await world.declare(concurrency=per_key)
        wanted = per_key * keys
        await world.enqueue(wanted, keys)
        with world.scheduler() as process:
            heads: list[AdmissionDecided] = []
            async for head in world.heads(0):
                if not heads:
                    before = costs(process.pid)
                heads.append(head)
                if sum(each.count for each in heads) >= wanted:
                    break
            # The first batch was decided before the clock could be started.
            seconds, count = (now_us() - heads[0].at) / 1e6, wanted
            cpu = sum(spent(before, costs(process.pid)).values())
    return Admissions(count, keys, count / seconds, cpu / count * 1e6)


class Restart(msgspec.Struct, frozen=True):
    """A scheduler stopped in good order and started again, with so many waiting."""

    waiting: int
    keys: int
    decides_after_seconds: float
    """From the start of the process to its first decision, stored in the log."""
    cpu_seconds: float
    """Of the process up to there."""
    stop_seconds: float
    resident_megabytes: float


async def restart(waiting: int, keys: int = KEYS) -> Restart:
    """Let a scheduler read the whole log, stop it, and see how soon the next one decides."""
    async with alone() as world:
        await world.declare(concurrency=1)
        await world.enqueue(waiting + keys, keys)
        with world.scheduler():
            await _decided(world, 0, keys)
            began = time.monotonic()
        stopped = time.monotonic() - began
        end = await world.log.last_sequence()
        # Something to decide on: a key that has its slot free.
        await world.enqueue(1, 1, "another")
        began = time.monotonic()
        with world.scheduler() as second:
            await _decided(world, end, 1)
            seconds, found = time.monotonic() - began, costs(second.pid)
    cost = found["services"]
    return Restart(waiting, keys, seconds, cost.cpu_seconds, stopped, cost.resident_bytes / 1e6)


async def _decided(world: Alone, after: int, wanted: int) -> None:
    async for head in world.heads(after):
        wanted -= head.count
        if wanted <= 0:
            return
