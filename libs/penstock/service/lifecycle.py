"""A service, what it is given, and how several run in one process with one orderly stop."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.service.cancel import cancel_all
from penstock.service.settings import Settings
from penstock.wire.names import Names

if TYPE_CHECKING:
    # A process without HTTP does not load it.
    from litestar.types import ControllerRouterHandler

    from penstock.service.annex import Annex

logger = structlog.get_logger("penstock")

Routes = Sequence["ControllerRouterHandler | Annex"]


def system_clock() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


@dataclass
class Runtime:
    """What a service is given: settings, names, and the connections of this process."""

    settings: Settings
    names: Names
    connections: dict[str, Connection]
    log: JetStreamLog
    registry: FunctionRegistry
    feed: Feed
    signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Signs tokens: the same in all services of an environment."""
    clock: Callable[[], int] = system_clock
    dice: Callable[[], float] = random.random
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    checks: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    """Readiness: name -> function that answers None when well, else what is wrong."""
    failure: BaseException | None = None
    functions: list[str] = field(default_factory=list)
    """Names of the functions that a runner in this process has declared."""
    http_port: int | None = None
    """The port that was taken, if this process serves HTTP."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a loop of a service.

        If it ends with an error the process stops with it, and the supervisor starts it anew.
        """
        task = asyncio.create_task(self._guard(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        """End the loops that are still there when all services have drained."""
        await cancel_all(self._tasks)

    async def _guard(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("loop_failed", loop=name)
            self.failure = self.failure or error
            self.stopping.set()


OpenService = Callable[[Runtime], AbstractAsyncContextManager[Routes]]


@dataclass(frozen=True)
class Service:
    """A service by name. `open` starts its loops with `runtime.spawn`, yields its HTTP routes, and drains when left."""

    name: str
    open: OpenService
    connections: tuple[str, ...] = ()


async def opened(
    stack: AsyncExitStack, services: Sequence[Service], runtime: Runtime
) -> "list[ControllerRouterHandler | Annex]":
    """Open the services in order; leaving the stack drains them in reverse. Answers with all their routes."""
    routes: list[ControllerRouterHandler | Annex] = []
    for service in services:
        routes.extend(await stack.enter_async_context(service.open(runtime)))
    return routes


async def batches_until(stop: asyncio.Event, source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The items of `source` until `stop` is set, without leaving a half-read one behind."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while True:
            step = asyncio.ensure_future(anext(source))
            await asyncio.wait({step, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                step.cancel()
                return
            yield step.result()
    except StopAsyncIteration:
        return
    finally:
        stopped.cancel()
