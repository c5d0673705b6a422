"""The service: events on NATS always, channels when configured, spans when the OTEL_* variables name a collector."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from penstock.jetstream.ends import EndFacts
from penstock.jetstream.positions import Positions
from penstock.jetstream.publisher import Publisher
from penstock.service.lifecycle import Routes, Runtime, Service, batches_until
from penstock.telemetry import switch
from penstock.telemetry.trails import Trails
from penstock_notifier.links import Links
from penstock_notifier.notifications import Notifications
from penstock_notifier.post_office import telling
from penstock_notifier.spans import SpanLoop

NAME = "notifier"
DRAIN_SECONDS = 3.0


@asynccontextmanager
async def exporting(runtime: Runtime) -> AsyncIterator[None]:
    """Spans on their way to the collector."""
    # Here, since importing OpenTelemetry takes time and memory that nobody should pay who exports nothing.
    from penstock.telemetry.export import SpanExport

    export = SpanExport(runtime.names.environment)
    loop = SpanLoop(Trails(runtime.log, runtime.names), export, Positions(runtime.connections[NAME], runtime.names))
    after = await loop.start_position(runtime.log)
    runtime.checks["notifier.spans"] = lambda: export.problem
    batches = batches_until(runtime.stopping, runtime.feed.subscribe_patiently(after))
    tasks = {
        runtime.spawn(loop.run(batches), "notifier.spans"),
        runtime.spawn(loop.keep_position(runtime.stopping), "notifier.position"),
    }
    try:
        yield
    finally:
        await asyncio.wait(tasks, timeout=0.1)
        for task in tasks:
            task.cancel()
        await export.close()
        await loop.store_position()


@asynccontextmanager
async def open_notifier(runtime: Runtime) -> AsyncIterator[Routes]:
    """Start the loops; when left, notifications under way are published and the rest is given back."""
    connection, names, settings = runtime.connections[NAME], runtime.names, runtime.settings
    source = EndFacts(connection, names, names.notify_consumer)
    links = Links(settings.page_url, settings.trace_url)
    notifications = Notifications(
        source, runtime.log, Publisher(connection).publish, names, links, arguments=settings.notify_arguments
    )
    runtime.checks["notifier.nats"] = lambda: connection.problem
    async with AsyncExitStack() as stack:
        # Before anything runs: a configuration that is wrong is refused here.
        await stack.enter_async_context(telling(runtime, NAME, links))
        if switch.is_on():
            await stack.enter_async_context(exporting(runtime))
        await stack.enter_async_context(publishing(runtime, notifications, source))
        yield []


@asynccontextmanager
async def publishing(runtime: Runtime, notifications: Notifications, source: EndFacts) -> AsyncIterator[None]:
    """CloudEvents on NATS."""
    loop = runtime.spawn(notifications.run(), "notifier.notifications")
    try:
        yield
    finally:
        await source.stop()
        await asyncio.wait({loop}, timeout=DRAIN_SECONDS)
        loop.cancel()


service = Service(NAME, open_notifier, connections=(NAME,))
