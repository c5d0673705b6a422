"""What very many schedules cost while none of them is due: CPU of the scheduler, its start included."""

import asyncio

import msgspec

from penstock.bench.alone import AT_ONCE, Alone, alone, now_us
from penstock.bench.processes import costs
from penstock.domain.schedule.facts import SchedulePut
from penstock.domain.schedule.spec import ScheduleSpec, make_rule
from penstock.jetstream.commit import Message
from penstock.jetstream.timers import JetStreamTimers
from penstock.wire.codec import encode_schedule_fact
from penstock.wire.names import TICK_WAIT

DAY_US = 24 * 3600 * 1_000_000


class Idling(msgspec.Struct, frozen=True):
    """CPU seconds of a scheduler from its start on, without schedules and with them."""

    schedules: int
    seconds: float
    without_schedules: float
    with_schedules: float
    start_without: float
    start_with: float
    """Of these, up to the moment at which it was ready."""

    @property
    def share(self) -> float:
        """Of a core, for the schedules alone."""
        return max(0.0, self.with_schedules - self.without_schedules) / self.seconds


async def idling(schedules: int, seconds: float) -> Idling:
    """Measure a second start: the first reads the whole log, and leaves a snapshot when it is stopped."""
    async with alone() as world:
        start_without, without = await _run(world, seconds)
        await _put(world, schedules)
        with world.scheduler() as first:
            world.await_ready(first)
        start_with, with_them = await _run(world, seconds)
    return Idling(schedules, seconds, without, with_them, start_without, start_with)


async def _run(world: Alone, seconds: float) -> tuple[float, float]:
    with world.scheduler() as process:
        began = asyncio.get_running_loop().time()
        world.await_ready(process)
        ready = costs(process.pid)["services"].cpu_seconds
        await asyncio.sleep(max(0.0, began + seconds - asyncio.get_running_loop().time()))
        return ready, costs(process.pid)["services"].cpu_seconds


async def _put(world: Alone, count: int) -> None:
    """Daily schedules that are due from tomorrow on, each with its wake-up."""
    spec = ScheduleSpec(function="daily", rule=make_rule(now_us(), every="24h"))
    timers = JetStreamTimers(world.connection, world.names)
    due = now_us() + DAY_US

    async def put(number: int) -> None:
        key = f"s{number}"
        fact = SchedulePut(at=now_us(), key=key, spec=spec, wakes_at=due + number)
        subject, history = world.names.schedule_subject(key, "fact"), world.names.schedule_filter(key)
        await world.log.append_group([Message(subject, encode_schedule_fact(fact), history, 0)], _nowhere)
        await timers.set(world.names.schedule_token(key), TICK_WAIT, due + number)

    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*(put(number) for number in range(first, min(first + AT_ONCE, count))))


async def _nowhere() -> int | None:
    return None
