"""One process with some services in it: opens what they need, then them, and closes all in the reverse order."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from typing import Any

from penstock.jetstream.access import OPERATOR
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import check_provided, provision
from penstock.jetstream.refused import StartRefused
from penstock.jetstream.registry import FunctionRegistry
from penstock.service.access import open_connection, read_passwords
from penstock.service.keys import ensure_signing_key, find_key
from penstock.service.lifecycle import Routes, Runtime, Service, opened
from penstock.service.settings import Settings
from penstock.wire.names import Names

GROUP = "penstock.services"
"""Entry points under which services are found; nothing imports one by name."""

# The shared log is written with the first of these users that the process has: the earlier may append more.
LOG_USERS = ("scheduler", "ingest", "runner", "notifier", "query")
OnReady = Callable[[Runtime, dict[str, str]], None]
"""Is told what is still not well."""

POLL_SECONDS = 0.02
READY_SECONDS = 30.0


def load_services(names: Iterable[str]) -> list[Service]:
    """The services by name, in this order. Raises StartRefused for a name that is none."""
    known = {point.name: point for point in entry_points(group=GROUP)}
    wanted = list(dict.fromkeys(names))
    strange = [name for name in wanted if name not in known]
    if strange:
        raise StartRefused(
            "unknown_service", f"There is no service {strange[0]!r}.", f"Known are {', '.join(sorted(known))}."
        )
    return [known[name].load() for name in wanted]


async def provide(settings: Settings) -> None:
    """Make the streams that are missing, as the operator. Raises StartRefused or Unavailable."""
    async with AsyncExitStack() as stack:
        operator = await open_connection(stack, settings, read_passwords(settings), OPERATOR, OPERATOR)
        await provision(operator, Names(settings.env), settings.nats_replicas)


@asynccontextmanager
async def running(settings: Settings, services: Sequence[str], *, http: bool = False) -> AsyncIterator[Runtime]:
    """The named services at work in this event loop; leaving drains them. `http` asks for health checks without routes.

    Raises StartRefused, Rejected or Unavailable when something cannot start; nothing is left open then.
    """
    found = load_services(services)
    async with AsyncExitStack() as stack:
        runtime = await _runtime(stack, settings, found)
        routes = await opened(stack, found, runtime)
        if routes or http:
            runtime.http_port = await _listen(stack, settings, runtime, routes)
        try:
            yield runtime
        finally:
            runtime.stopping.set()


async def until_ready(runtime: Runtime, seconds: float = READY_SECONDS) -> dict[str, str]:
    """Wait until every readiness check is content, the process is stopping, or the time is over.

    Answers with what is still not well: a collector that is down must not keep everything else from starting.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        problems = {name: problem for name, check in runtime.checks.items() if (problem := check()) is not None}
        if not problems or runtime.stopping.is_set() or asyncio.get_running_loop().time() > deadline:
            return problems
        await asyncio.sleep(POLL_SECONDS)


async def run_until_stopped(
    settings: Settings, services: Sequence[str], on_ready: OnReady, *, http: bool = False
) -> int:
    """Run until SIGTERM or SIGINT, or a loop fails; answers with the exit code. A second signal leaves at once."""
    stop = _Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        async with running(settings, services, http=http) as runtime:
            stop.runtime = runtime
            problems = await until_ready(runtime)
            if not runtime.stopping.is_set():
                on_ready(runtime, problems)
            await runtime.stopping.wait()
    except asyncio.CancelledError:
        # Stopped while it was starting.
        return 0
    return 1 if runtime.failure is not None else 0


class _Stop:
    """The signal handler of a process."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self._task = asyncio.current_task()
        self._count = 0

    def __call__(self) -> None:
        self._count += 1
        if self._count > 1:
            os._exit(130)
        if self.runtime is not None:
            self.runtime.stopping.set()
        elif self._task is not None:
            self._task.cancel()


async def _runtime(stack: AsyncExitStack, settings: Settings, services: Sequence[Service]) -> Runtime:
    names = Names(settings.env)
    passwords = read_passwords(settings)
    provides = not passwords or OPERATOR in passwords
    if provides:
        await provide(settings)
    connections: dict[str, Connection] = {}
    for service in services:
        for name in dict.fromkeys((service.name, *service.connections)):
            connections[name] = await open_connection(stack, settings, passwords, service.name, name)
    if not provides:
        await check_provided(connections[_first(connections, LOG_USERS)], names)
    log = JetStreamLog(connections[_first(connections, LOG_USERS)], names)
    stack.push_async_callback(log.close)
    registry = await _registry(stack, connections, names, log)
    feed = Feed(log)
    stack.push_async_callback(feed.close)
    runtime = Runtime(settings, names, connections, log, registry, feed, signing_key=ensure_signing_key(settings))
    for name, connection in connections.items():
        runtime.checks[f"nats.{name}"] = lambda connection=connection: connection.problem  # type: ignore[misc]
    stack.push_async_callback(runtime.finish)
    return runtime


async def _registry(
    stack: AsyncExitStack, connections: Mapping[str, Connection], names: Names, log: JetStreamLog
) -> FunctionRegistry:
    runner = connections.get("runner")
    if runner is not None and connections[_first(connections, LOG_USERS)] is not runner:
        # Only the runner's user may write declarations.
        log = JetStreamLog(runner, names)
        stack.push_async_callback(log.close)
    connection = runner or connections[_first(connections, LOG_USERS)]
    registry = FunctionRegistry(connection, names, log)
    stack.push_async_callback(registry.close)
    await registry.open()
    return registry


def _first(connections: Mapping[str, Connection], preferred: Sequence[str]) -> str:
    return next((name for name in preferred if name in connections), next(iter(connections)))


async def _listen(stack: AsyncExitStack, settings: Settings, runtime: Runtime, routes: Routes) -> int:
    """Serve HTTP until the process stops; answers with the port. Raises StartRefused when the port cannot be had."""
    # Loaded here, so that a process without HTTP starts in half the time.
    from penstock.service.http import HttpApp
    from penstock.service.serve import serve as serve_http

    secure = settings.page_url.startswith("https://")
    app = HttpApp(routes, find_key(settings) or "", runtime.checks, secure=secure, metrics_open=settings.metrics_open)
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve_http(app, settings, runtime.stopping, listening.set_result), name="http")
    either: set[asyncio.Future[Any]] = {server, listening}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not listening.done():
        await server
        raise StartRefused("start_failed", "The HTTP server ended at once.", "Look at its log.")

    async def stop() -> None:
        runtime.stopping.set()
        await asyncio.wait({server})

    def watch(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            runtime.failure = runtime.failure or done.exception()
        runtime.stopping.set()

    server.add_done_callback(watch)
    stack.push_async_callback(stop)
    return listening.result()
