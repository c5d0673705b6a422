"""The service: follows the log into the agenda, takes wake-ups, and sweeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.timers import JetStreamTimers, WakeUps
from penstock.service.lifecycle import Routes, Runtime, Service, batches_until
from penstock_scheduler.agenda import Agenda
from penstock_scheduler.sweep import Sweep
from penstock_scheduler.wakeups import Waker, WakeUpLoop

NAME = "scheduler"
DRAIN_SECONDS = 5.0


async def follow(runtime: Runtime, agenda: Agenda, caught_up: asyncio.Event) -> None:
    """Feed the log into the agenda, and tell when it has reached what was there at the start."""
    target = await runtime.log.last_sequence()
    if target == 0:
        caught_up.set()
    async for batch in batches_until(runtime.stopping, runtime.feed.subscribe(agenda.position)):
        agenda.take(batch)
        if agenda.position >= target:
            caught_up.set()


async def sweep_when_ready(sweep: Sweep, caught_up: asyncio.Event, stopping: asyncio.Event) -> None:
    """An agenda that is not complete shows executions as open that ended long ago."""
    waits = {asyncio.ensure_future(caught_up.wait()), asyncio.ensure_future(stopping.wait())}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await sweep.run(stopping)


@asynccontextmanager
async def open_scheduler(runtime: Runtime) -> AsyncIterator[Routes]:
    """Start the loops; when left, wake-ups under way are finished and the rest is given back."""
    connection, names = runtime.connections[NAME], runtime.names
    timers = JetStreamTimers(connection, names)
    agenda, caught_up = Agenda(names), asyncio.Event()
    waker = Waker(runtime.log, timers, agenda, runtime.clock, runtime.dice)
    sweep = Sweep(runtime.log, timers, LeaseTable(connection, names), agenda, waker, runtime.clock, runtime.dice)
    source = WakeUps(connection, names)
    runtime.checks["scheduler.nats"] = lambda: connection.problem
    runtime.checks["scheduler.agenda"] = lambda: None if caught_up.is_set() else "still reading the log"
    loops = {
        runtime.spawn(follow(runtime, agenda, caught_up), "scheduler.follow"),
        runtime.spawn(WakeUpLoop(source, waker).run(), "scheduler.wake-ups"),
        runtime.spawn(sweep_when_ready(sweep, caught_up, runtime.stopping), "scheduler.sweep"),
    }
    try:
        yield []
    finally:
        await source.stop()
        await asyncio.wait(loops, timeout=DRAIN_SECONDS)
        for loop in loops:
            loop.cancel()


service = Service(NAME, open_scheduler, connections=(NAME,))
