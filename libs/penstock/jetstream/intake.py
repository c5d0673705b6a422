"""A durable consumer that several processes share, as a queue: opened when first asked, made anew when it is gone."""

import asyncio
from collections.abc import Awaitable, Callable

import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from penstock.jetstream.connect import Connection
from penstock.jetstream.lean import command
from penstock.jetstream.positions import Positions
from penstock.jetstream.pull import ConsumerGone, Pull
from penstock.ports import Unavailable
from penstock.wire.names import Names

logger = structlog.get_logger("penstock")

ACK_WAIT_SECONDS = 30.0
"""What nobody settles or prolongs for so long is delivered again."""
RETRY_SECONDS = 0.5


class ConsumerRefused(Unavailable):
    """The server does not take the consumer as it is wanted; asking again will not help."""


class Delivery:
    """One delivered message, to be settled after what follows from it is stored.

    Acknowledgements may get lost, and a server that is away hears none: then the message comes again.
    """

    __slots__ = ("_connection", "_reply")

    def __init__(self, connection: Connection, reply: str) -> None:
        self._connection = connection
        self._reply = reply

    async def ack(self) -> None:
        """It is done with."""
        await self._settle(b"")

    async def in_progress(self) -> None:
        """It is still being worked on; starts the redelivery clock anew."""
        await self._settle(b"+WPI")

    async def give_back(self, delay_seconds: float = 0.0) -> None:
        """Deliver it again after the delay, perhaps elsewhere."""
        await self._settle(b'-NAK {"delay": %d}' % int(delay_seconds * 1e9) if delay_seconds > 0 else b"-NAK")

    async def _settle(self, verb: bytes) -> None:
        try:
            await self._connection.nc.write(command(self._reply, "", "", verb), len(verb))
        except (NatsError, OSError):
            return


def shared_consumer(name: str, ack_pending: int, *, subjects: str | None = None, start: int = 0) -> ConsumerConfig:
    """A consumer that delivers until it is told that something is settled, from `start` on (0: all there is)."""
    return ConsumerConfig(
        durable_name=name,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE if start else DeliverPolicy.ALL,
        opt_start_seq=start or None,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_deliver=-1,
        max_ack_pending=ack_pending,
        filter_subject=subjects,
    )


class Intake:
    """Takes what the consumer delivers. `ensure` makes the consumer where it is missing."""

    def __init__(
        self, connection: Connection, stream: str, consumer: str, ensure: Callable[[], Awaitable[None]], order_max: int
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._consumer = consumer
        self._ensure = ensure
        self._order_max = order_max
        self._pull: Pull | None = None
        self._stopped = False
        self.problem: str | None = "not opened yet"

    async def take(self, limit: int) -> list[Msg]:
        """Up to `limit` messages, waiting for the first. Empty only after `stop`. Raises ConsumerRefused."""
        while not self._stopped:
            pull = await self._opened()
            if pull is None:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            missing = min(limit, self._order_max) - pull.ordered
            if missing > 0 and (pull.ordered == 0 or missing >= self._order_max // 2):
                await pull.order(missing)
            try:
                await pull.wait(1.0)
            except ConsumerGone:
                self.problem = f"{self._consumer} is gone; making it anew"
                await pull.close()
                self._pull = None
                continue
            messages = pull.drain(limit)
            if messages:
                return messages
        return []

    async def stop(self) -> list[Msg]:
        """Take no more; a running `take` returns. Answers with what was delivered and not taken: give it back."""
        self._stopped = True
        if self._pull is None:
            return []
        await self._pull.close()
        return self._pull.drain(1_000_000)

    async def _opened(self) -> Pull | None:
        """The standing order, or None while the server does not answer."""
        if self._pull is None:
            try:
                await self._ensure()
                pull = Pull(self._connection, self._stream, self._consumer)
                await pull.open()
            except ConsumerRefused:
                raise
            except (NatsError, OSError, Unavailable) as error:
                self.problem = f"the consumer {self._consumer} of {self._stream} cannot be had: {error}"
                logger.warning("consumer_unavailable", consumer=self._consumer, error=str(error))
                return None
            self._pull, self.problem = pull, None
        return self._pull


class AckFloor:
    """Up to where all of a consumer on the log is settled, noted for the day on which it must be made anew."""

    def __init__(self, connection: Connection, names: Names, consumer: str) -> None:
        self._connection = connection
        self._stream = names.executions
        self._consumer = consumer
        # Not the name alone: rules and channels keep what they know under names of their own.
        self._reader = f"consumer-{consumer}"
        self._positions = Positions(connection, names)
        self._marked = 0

    async def mark(self) -> None:
        """Note it. Raises Unavailable."""
        try:
            info = await self._connection.js.consumer_info(self._stream, self._consumer)
        except NatsError as error:
            raise Unavailable(f"consumer {self._consumer}: {error}") from None
        floor = info.ack_floor.stream_seq if info.ack_floor is not None else 0
        if floor > self._marked:
            await self._positions.store(self._reader, floor)
            self._marked = floor

    async def start(self) -> int:
        """Where a new consumer begins, 0 for all there is: reading all of a long history again would take minutes.

        A floor beyond the end of the log is of another one. Raises Unavailable, or an error of the client.
        """
        floor = await self._positions.load(self._reader) or 0
        info = await self._connection.js.stream_info(self._stream)
        return floor + 1 if 0 < floor <= info.state.last_seq else 0


async def exists(connection: Connection, stream: str, consumer: str) -> bool:
    """Whether the server has it. Raises an error of the client."""
    try:
        await connection.js.consumer_info(stream, consumer)
    except nats.js.errors.NotFoundError:
        return False
    return True
