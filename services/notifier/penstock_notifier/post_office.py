"""The rules and the couriers of all channels, at work in one copy of the service at a time."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from penstock.egress.sender import Egress
from penstock.jetstream.consumers import FunctionConsumers
from penstock.jetstream.leader import Leadership
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.notices import Bookmark, NoticeLog
from penstock.jetstream.positions import Positions
from penstock.ports import Conflict, Unavailable
from penstock.service.lifecycle import Runtime
from penstock.service.notify_config import check_secrets, load_config
from penstock_notifier.channels.make import sender_of
from penstock_notifier.compose import Composer
from penstock_notifier.courier import Courier
from penstock_notifier.desk import Desk
from penstock_notifier.links import Links

logger = structlog.get_logger("penstock")

ROLE = "notify"
HOLD_SECONDS = 1.0
DRAIN_SECONDS = 3.0


class PostOffice:
    """Works while its copy leads. `make` gives the desk and the couriers, anew each time."""

    def __init__(self, leadership: Leadership, make: Callable[[], tuple[Desk, Sequence[Courier]]]) -> None:
        self._leadership = leadership
        self._make = make
        self._couriers: Sequence[Courier] = ()
        self._work: asyncio.Task[None] | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Until stopped; what is being sent then is finished, and the next copy may lead at once."""
        try:
            while not stopping.is_set():
                await self._look(await self._leadership.hold())
                try:
                    await asyncio.wait_for(stopping.wait(), HOLD_SECONDS)
                except TimeoutError:
                    continue
            drains = {asyncio.ensure_future(each.drain()) for each in self._couriers}
            if drains:
                await asyncio.wait(drains, timeout=DRAIN_SECONDS)
        finally:
            await self._stop()
        try:
            await self._leadership.give_up()
        except Unavailable:
            return  # the lease lapses by itself

    async def _look(self, leads: bool) -> None:
        if self._work is not None and self._work.done():
            self._check(self._work)
            self._work = None
        if leads and self._work is None:
            desk, self._couriers = self._make()
            self._work = asyncio.create_task(_together(desk, self._couriers), name="notifier.post-office")
        elif not leads:
            await self._stop()

    async def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait({self._work})
            self._work, self._couriers = None, ()

    def _check(self, work: "asyncio.Task[None]") -> None:
        """Begin anew after what passes; anything else ends the process, and with it is seen."""
        error = work.exception()
        if isinstance(error, BaseExceptionGroup):
            _, rest = error.split((Unavailable, Conflict))
            if rest is None:
                logger.warning("notifier_begins_anew", problem=str(error.exceptions[0]))
                return
        if error is not None:
            raise error


async def _together(desk: Desk, couriers: Sequence[Courier]) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.run())
        for each in couriers:
            tasks.create_task(each.run())


@asynccontextmanager
async def telling(runtime: Runtime, user: str, links: Links) -> AsyncIterator[None]:
    """Channels at work, if any are configured. Raises Rejected `invalid_config` for a configuration that is wrong."""
    settings, names, connection = runtime.settings, runtime.names, runtime.connections[user]
    config = load_config(settings)
    if not config.channels:
        yield
        return
    check_secrets(config.channels)
    egress = Egress(settings.egress_allow)
    senders = {name: sender_of(name, channel, egress, runtime.clock) for name, channel in config.channels.items()}
    log = JetStreamLog(connection, names)
    notices, positions = NoticeLog(log), Positions(connection, names)
    composer = Composer(log, links, names.environment, arguments=settings.notify_arguments)
    leadership = Leadership(connection, names, ROLE, f"{user}-{os.getpid()}-{uuid.uuid4().hex[:8]}")

    def make() -> tuple[Desk, Sequence[Courier]]:
        consumers = FunctionConsumers(connection, names)
        desk = Desk(
            config.rules, notices, runtime.feed.subscribe, Bookmark(log, ROLE), consumers, positions, runtime.clock
        )
        couriers = [
            Courier(
                name, sender, notices, names, composer, positions, runtime.clock, runtime.dice,
                lambda: leadership.is_leader,
            )
            for name, sender in senders.items()
        ]  # fmt: skip
        return desk, couriers

    office = runtime.spawn(PostOffice(leadership, make).run(runtime.stopping), "notifier.post-office")
    try:
        yield
    finally:
        await asyncio.wait({office}, timeout=DRAIN_SECONDS + 2.0)
        office.cancel()
        await egress.close()
        await log.close()
