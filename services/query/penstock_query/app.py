"""The query service: one projector and the routes that read its view."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from litestar.types import ControllerRouterHandler
from sqlalchemy.exc import SQLAlchemyError

from penstock.jetstream.consumers import FunctionConsumers
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.lines import LogLines
from penstock.jetstream.objects import Payloads
from penstock.jetstream.positions import Positions
from penstock.jetstream.questions import Questions
from penstock.ports import LogEntry, Unavailable
from penstock.service.keys import find_key
from penstock.service.lifecycle import Runtime, Service
from penstock.service.session import Sessions
from penstock.telemetry import switch
from penstock.telemetry.metrics import Meter
from penstock.wire.names import VIEW_READER
from penstock_query.changes import Folder
from penstock_query.counting import Counting
from penstock_query.database import create_schema, open_engine, schema_of, view_url
from penstock_query.gauges import Gauges
from penstock_query.lock import projector_lock
from penstock_query.progress import Progress
from penstock_query.project import Projector
from penstock_query.reads import Reads
from penstock_query.routes.catalogue import catalogue_routes
from penstock_query.routes.defer import defer_routes
from penstock_query.routes.defer_v1 import defer_v1_routes
from penstock_query.routes.executions import execution_routes
from penstock_query.routes.history import history_routes
from penstock_query.routes.metrics import metrics_routes
from penstock_query.routes.notifications import notification_routes
from penstock_query.routes.pages import page_routes
from penstock_query.routes.schedules import schedule_routes
from penstock_query.routes.stream import stream_routes
from penstock_query.routes.why import why_routes
from penstock_query.store import Store
from penstock_query.stream import Changes
from penstock_query.view import View

NAME = "query"
TELL_SECONDS = 2.0


def routes_of(view: View, leases: LeaseTable) -> list[ControllerRouterHandler]:
    """All routes of the service."""
    return [
        *execution_routes(view),
        *history_routes(view),
        *catalogue_routes(view, leases),
        *schedule_routes(view),
        *notification_routes(view),
    ]


async def tell_position(progress: Progress, standing_by: asyncio.Event, positions: Positions) -> None:
    """Let others know how far the view is, while this process makes it."""
    told = 0
    while True:
        await asyncio.sleep(TELL_SECONDS)
        position = progress.position
        if position > told and not standing_by.is_set():
            try:
                await positions.store(VIEW_READER, position)
                told = position
            except Unavailable:
                continue


def changes_of(runtime: Runtime, view: View) -> Changes:
    """The stream of changes, on the follower that the process has already."""
    names, log, reads = runtime.names, runtime.log, view.reads

    async def scan(after: int, limit: int) -> list[LogEntry]:
        found = await log.reader.subject(names.executions, ">", start=after + 1, limit=limit)
        return [LogEntry(each.sequence, each.subject, each.data) for each in found]

    return Changes(
        subscribe=runtime.feed.subscribe,
        scan=scan,
        folder=lambda: Folder(names, reads, log, view.trace_url),
        position=reads.position,
        progress=view.progress,
    )


async def report(meter: Meter, gauges: Gauges, environment: str, standing_by: asyncio.Event) -> None:
    """Send the metrics to a collector from time to time, while this process makes the view."""
    # Here, since importing OpenTelemetry takes time and memory that nobody should pay who exports nothing.
    from penstock.telemetry.metrics_export import MetricsExport, interval_seconds

    export = MetricsExport(meter, environment)
    try:
        while True:
            await asyncio.sleep(interval_seconds())
            if standing_by.is_set():
                continue
            # A view that is away for a moment leaves the gauges as they were.
            with suppress(SQLAlchemyError):
                await gauges.look()
            await export.send()
    finally:
        export.close()


@asynccontextmanager
async def open_query(runtime: Runtime) -> AsyncIterator[Sequence[ControllerRouterHandler]]:
    """Open the view, start projecting, and answer with the routes."""
    names, connection = runtime.names, runtime.connections[NAME]
    url, schema = view_url(runtime.settings, names), schema_of(names)
    await create_schema(url, schema)
    writer, reader = open_engine(url, schema, writer=True), open_engine(url, schema, writer=False)
    progress = Progress()
    store = Store(writer, names.executions)
    await store.prepare()
    lock = projector_lock(url, schema)
    meter, reads = Meter(), Reads(reader)
    counting, consumers = Counting(meter), FunctionConsumers(connection, names)
    gauges = Gauges(
        meter, reads, consumers, runtime.log, progress, lambda: [s.name for s in runtime.registry.all()], runtime.clock
    )
    projector = Projector(store, names, runtime.feed.subscribe_patiently, runtime.log, lock, progress, counting.take)
    view = View(
        reads=reads,
        progress=progress,
        log=runtime.log,
        objects=Payloads(connection, names),
        lines=LogLines(connection, names),
        trace_url=runtime.settings.trace_url,
    )
    changes = changes_of(runtime, view)
    runtime.checks["view"] = lambda: projector.problem
    tasks = [
        runtime.spawn(projector.run(), "projector"),
        runtime.spawn(projector.watch(), "projector-watch"),
        runtime.spawn(changes.until(runtime.stopping), "stream-end"),
        runtime.spawn(view.poll(projector.standing_by), "view-poll"),
        runtime.spawn(tell_position(progress, projector.standing_by, Positions(connection, names)), "view-position"),
    ]
    if switch.metrics_are_on():
        tasks.append(
            runtime.spawn(report(meter, gauges, names.environment, projector.standing_by), "query.metrics-export")
        )
    try:
        yield [
            *routes_of(view, LeaseTable(connection, names)),
            *stream_routes(view, changes),
            *page_routes(view, Sessions(find_key(runtime.settings) or "")),
            *why_routes(view, Questions(connection, names), consumers, runtime.signing_key),
            *metrics_routes(meter, gauges),
            *defer_routes(view),
            *defer_v1_routes(view),
        ]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await changes.close()
        await store.close()
        await reader.dispose()


service = Service(NAME, open_query, connections=(NAME,))
