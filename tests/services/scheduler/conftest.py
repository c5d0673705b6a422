"""One copy of the scheduler in parts."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.jetstream.connect import Connection
from penstock.jetstream.inbox import Hints
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.timers import JetStreamTimers, WakeUps
from penstock.wire.names import Names
from penstock_scheduler.agenda import Agenda
from penstock_scheduler.carrier import Carrier
from penstock_scheduler.sweep import Sweep
from penstock_scheduler.wakeups import Waker, WakeUpLoop
from sample_facts import now
from scheduler_stage import Stage


@pytest.fixture
async def stage(connection: Connection, environment: Names, log: JetStreamLog) -> Stage:
    timers, leases = JetStreamTimers(connection, environment), LeaseTable(connection, environment)
    agenda = Agenda(environment)
    carrier = Carrier(log, Hints(connection, environment), now, lambda: 0.0)
    waker = Waker(carrier, timers, agenda, now)
    sweep = Sweep(log, timers, leases, agenda, waker, now, lambda: 0.0, late_seconds=0.0)
    return Stage(log, timers, leases, agenda, waker, sweep)


@pytest.fixture
async def waking(stage: Stage, connection: Connection, environment: Names) -> AsyncIterator[WakeUps]:
    """The loop that takes wake-ups."""
    source = WakeUps(connection, environment)
    loop = asyncio.create_task(WakeUpLoop(source, stage.waker).run())
    yield source
    await source.stop()
    await loop
