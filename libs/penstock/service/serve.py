"""The HTTP server of a process: inside the loop that already runs, stopped by the same event as everything else."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator

import uvicorn
from litestar.types import ASGIApp

from penstock.jetstream.refused import StartRefused
from penstock.service.settings import Settings

GRACE_SECONDS = 3
"""Answers under way may take so long after the stop; streams that never end are cut then."""


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the process has one orderly stop for all its parts."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises StartRefused `port_busy` naming the setting when the port cannot be had."""
    host, port = settings.http_host, settings.http_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        is_busy = error.errno == errno.EADDRINUSE
        reason = "is in use by another program" if is_busy else f"cannot be had ({error.strerror})"
        raise StartRefused(
            "port_busy",
            f"HTTP port {port} on {host} {reason}.",
            "Stop what listens there, or set PENSTOCK_HTTP_PORT (or --port) to another port.",
        ) from None
    listener.setblocking(False)
    return listener


async def serve(
    app: ASGIApp, settings: Settings, stopping: asyncio.Event, on_listening: Callable[[int], None] | None = None
) -> None:
    """Serve until `stopping` is set. `on_listening` is told the port, which matters when the setting is 0."""
    listener = bind(settings)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    listener.listen(config.backlog)
    if on_listening is not None:
        on_listening(listener.getsockname()[1])
    running = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await running
    finally:
        stopped.cancel()
        if not running.done():
            running.cancel()
        listener.close()
