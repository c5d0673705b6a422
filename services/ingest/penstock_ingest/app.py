"""The service: doors over HTTP and NATS, and the loop between EVENTS and the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from penstock.jetstream.inbox import EventInbox, Hints
from penstock.jetstream.notices import NoticeLog
from penstock.jetstream.objects import Payloads
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.schedules import ScheduleLog
from penstock.jetstream.timers import JetStreamTimers
from penstock.service.gate import Gate
from penstock.service.keys import find_key
from penstock.service.lifecycle import Routes, Runtime, Service
from penstock.service.session import Sessions
from penstock_ingest.accept import Acceptor
from penstock_ingest.control import ControlRoutes
from penstock_ingest.defer.routes import DeferRoutes
from penstock_ingest.defer.start import Starter
from penstock_ingest.defer.steer import Steerer
from penstock_ingest.drafts import Drafter
from penstock_ingest.events import EventRoutes
from penstock_ingest.executions import ExecutionRoutes
from penstock_ingest.fan_out import FanOut
from penstock_ingest.flow import FlowRoutes
from penstock_ingest.messages import Planner
from penstock_ingest.netlify import Admission, NetlifyDoor
from penstock_ingest.notifications import NotificationRoutes
from penstock_ingest.pages import PageRoutes
from penstock_ingest.rerun import RerunRoutes
from penstock_ingest.schedules import ScheduleRoutes
from penstock_ingest.signals import SignalRoutes
from penstock_ingest.steering import Steering

NAME = "ingest"
DRAIN_SECONDS = 10.0


@asynccontextmanager
async def open_ingest(runtime: Runtime) -> AsyncIterator[Routes]:
    """Start the fan-out and yield the routes; when left, messages under way are finished and the rest is given back."""
    connection, names, clock = runtime.connections[NAME], runtime.names, runtime.clock
    timers = JetStreamTimers(connection, names)
    gate = Gate(names, runtime.log, runtime.registry)
    await gate.open()
    watching = runtime.spawn(gate.watch(), "gate")
    payloads = Payloads(connection, names)
    acceptor = Acceptor(runtime.log, payloads, timers, runtime.settings.trace_url, gate)
    drafter = Drafter(names.environment, runtime.registry, clock)
    inbox = EventInbox(connection, names)
    planner = Planner(names, runtime.registry, drafter, clock)
    events = EventRoutes(names, Publisher(connection), clock)
    executions = ExecutionRoutes(drafter, acceptor)
    steering = Steering(runtime.log, acceptor, Hints(connection, names), clock, runtime.dice)
    control = ControlRoutes(steering, timers, clock)
    signals = SignalRoutes(steering, runtime.signing_key)
    rerun = RerunRoutes(names.environment, runtime.log, payloads, drafter, acceptor, clock)
    starter = Starter(runtime.registry, drafter, acceptor, rerun, clock)
    defer = DeferRoutes(starter, Steerer(runtime.log, steering, timers), clock)
    schedules = ScheduleRoutes(names, ScheduleLog(runtime.log, gate.stamp_tick), timers, drafter, acceptor, gate, clock)
    flow = FlowRoutes(runtime.log, drafter, gate, clock)
    pages = PageRoutes(rerun.rerun, control.cancel, Sessions(find_key(runtime.settings) or ""))
    notifications = NotificationRoutes(NoticeLog(runtime.log), clock)
    admission = Admission.of(runtime.settings)
    netlify = NetlifyDoor(runtime.registry, drafter, acceptor, admission)
    runtime.checks["ingest.nats"] = lambda: connection.problem
    runtime.checks["ingest.fan_out"] = lambda: inbox.problem
    loop = runtime.spawn(FanOut(inbox, planner, acceptor, runtime.log, clock).run(), "fan-out")
    try:
        doors = (events, executions, control, rerun, signals, schedules, flow, notifications, pages, defer)
        yield [*(handler for each in doors for handler in each.handlers()), netlify.annex()]
    finally:
        await inbox.stop()
        await asyncio.wait({loop}, timeout=DRAIN_SECONDS)
        loop.cancel()
        watching.cancel()


service = Service(NAME, open_ingest, connections=(NAME,))
