"""The service: follows the log into the agenda, takes wake-ups, and sweeps."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from penstock.jetstream.clock import HeldBackClock, clock_skew
from penstock.jetstream.ends import EndFacts
from penstock.jetstream.inbox import Hints
from penstock.jetstream.leader import Leadership
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.objects import Payloads
from penstock.jetstream.positions import Positions
from penstock.jetstream.schedules import ScheduleLog
from penstock.jetstream.stored_events import StoredEvents
from penstock.jetstream.timers import JetStreamTimers, WakeUps
from penstock.service.gate import Gate
from penstock.service.lifecycle import Routes, Runtime, Service, batches_until
from penstock_scheduler.carrier import Carrier
from penstock_scheduler.cron import Cron
from penstock_scheduler.ends import EndLoop, mark_ends
from penstock_scheduler.event_ender import EventEnder
from penstock_scheduler.event_waits import EventMatching
from penstock_scheduler.families import Families
from penstock_scheduler.flow import ROLE, open_flow
from penstock_scheduler.followers import Followers
from penstock_scheduler.hooks import HookStarter
from penstock_scheduler.shared import tell_sharing
from penstock_scheduler.sweep import Sweep
from penstock_scheduler.ticker import Ticker
from penstock_scheduler.times import Times, TimesSnapshots
from penstock_scheduler.wakeups import Waker, WakeUpLoop

NAME = "scheduler"
DRAIN_SECONDS = 5.0


async def follow(runtime: Runtime, times: Times, changed: asyncio.Event, caught_up: asyncio.Event) -> None:
    """Feed the log into the agenda and the calendar, and tell when they have reached what was there at the start."""
    target, calendar = await runtime.log.last_sequence(), times.calendar

    def look() -> None:
        if times.position >= target and not caught_up.is_set():
            calendar.caught_up()
            caught_up.set()
        if calendar.ready or calendar.declared:
            changed.set()

    look()
    async for batch in batches_until(runtime.stopping, runtime.feed.subscribe(times.position)):
        await times.take(batch)
        look()


async def when_ready(
    loop: Callable[[asyncio.Event], Awaitable[None]], caught_up: asyncio.Event, stopping: asyncio.Event
) -> None:
    """Run the loop when the log is read: before, it shows as open what ended long ago."""
    waits = {asyncio.ensure_future(caught_up.wait()), asyncio.ensure_future(stopping.wait())}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await loop(stopping)


@asynccontextmanager
async def open_scheduler(runtime: Runtime) -> AsyncIterator[Routes]:
    """Start the loops; when left, wake-ups under way are finished and the rest is given back."""
    connection, names = runtime.connections[NAME], runtime.names
    clock = HeldBackClock(runtime.clock, lambda: clock_skew(connection, names.timers))
    await clock.look()
    timers = JetStreamTimers(connection, names)
    snapshots = TimesSnapshots(Payloads(connection, names), names)
    times, caught_up = await snapshots.load(await runtime.log.last_sequence()), asyncio.Event()
    agenda, calendar = times.agenda, times.calendar
    hints = Hints(connection, names)
    carrier = Carrier(runtime.log, hints, clock, runtime.dice)
    waker = Waker(carrier, timers, agenda, clock)
    sweep = Sweep(runtime.log, timers, LeaseTable(connection, names), agenda, waker, clock, runtime.dice)
    gate = Gate(names, runtime.log, runtime.registry)
    await gate.open()
    schedules = ScheduleLog(runtime.log, gate.stamp_tick)
    ticker = Ticker(runtime.log, schedules, timers, names, hints, clock, runtime.dice)
    source = WakeUps(connection, names)
    wake_ups = WakeUpLoop(source, waker, lambda token: ticker.on_wake_up(names.schedule_key(token)))
    runtime.feed.is_pressed = lambda: wake_ups.is_busy
    cron = Cron(calendar, ticker, schedules, clock, lambda: wake_ups.is_busy)
    ended = EndFacts(connection, names, names.ends_consumer)
    families = Families(carrier, clock)
    ender = EventEnder(runtime.log, Payloads(connection, names), carrier)
    events = EventMatching(
        agenda, StoredEvents(connection, names), ender, Positions(connection, names), runtime.log, names
    )
    followers = Followers(runtime.log, Payloads(connection, names), clock, runtime.dice)
    hooks = HookStarter(runtime.log, gate.stamp_tick, names.environment, clock)
    handlers = [followers.settle, families.tell_parent, families.cancel_children, hooks.start]
    ends = EndLoop(ended, runtime.log, handlers)
    runtime.checks["scheduler.nats"] = lambda: connection.problem
    runtime.checks["scheduler.agenda"] = lambda: None if caught_up.is_set() else "still reading the log"
    loops = {
        runtime.spawn(follow(runtime, times, cron.changed, caught_up), "scheduler.follow"),
        runtime.spawn(gate.watch(), "scheduler.gate"),
        runtime.spawn(clock.run(), "scheduler.clock"),
        runtime.spawn(wake_ups.run(), "scheduler.wake-ups"),
        runtime.spawn(ends.run(), "scheduler.ends"),
        runtime.spawn(mark_ends(ended, runtime.stopping), "scheduler.ends.mark"),
        runtime.spawn(
            when_ready(partial(tell_sharing, agenda.shared, runtime.log, families), caught_up, runtime.stopping),
            "scheduler.shared",
        ),
        runtime.spawn(when_ready(events.run, caught_up, runtime.stopping), "scheduler.events"),
        runtime.spawn(when_ready(sweep.run, caught_up, runtime.stopping), "scheduler.sweep"),
        runtime.spawn(when_ready(cron.run, caught_up, runtime.stopping), "scheduler.cron"),
    }
    name = f"{NAME}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    leadership = Leadership(connection, names, ROLE, name)
    keeping = snapshots.run(times, lambda: caught_up.is_set() and leadership.is_leader, runtime.stopping)
    loops.add(runtime.spawn(keeping, "scheduler.snapshots"))
    loops.update(await open_flow(runtime, name, connection, leadership, clock))
    try:
        yield []
    finally:
        await source.stop()
        await ended.stop()
        ending = {loop for loop in loops if loop.get_name() not in ("scheduler.gate", "scheduler.clock")}
        await asyncio.wait(ending, timeout=DRAIN_SECONDS)
        for loop in loops:
            loop.cancel()


service = Service(NAME, open_scheduler, connections=(NAME,))
