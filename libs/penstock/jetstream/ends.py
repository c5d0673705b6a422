"""Final facts that somebody acts on, taken by one durable consumer that all copies of a service share."""

import asyncio

import nats.js.errors
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from penstock.jetstream.connect import Connection
from penstock.jetstream.positions import Positions
from penstock.jetstream.pull import ConsumerGone, Pull, parse_reply
from penstock.ports import Unavailable
from penstock.wire.names import Names

ACK_WAIT_SECONDS = 30.0
ACK_PENDING_MAX = 2_000
ORDER_MAX = 200
RETRY_SECONDS = 0.5


class EndFact:
    """One final fact as it stands in the log, to be acknowledged after what follows from it is stored."""

    __slots__ = ("_connection", "_reply", "data", "execution_id", "function", "sequence")

    def __init__(self, connection: Connection, execution_id: str, function: str, data: bytes, reply: str) -> None:
        self._connection = connection
        self._reply = reply
        self.execution_id = execution_id
        self.function = function
        self.data = data
        self.sequence = parse_reply(reply).stream_sequence

    async def ack(self) -> None:
        """It is done with. A lost acknowledgement brings it again."""
        await self._settle(b"")

    async def give_back(self, delay_seconds: float) -> None:
        """Deliver it again after the delay."""
        await self._settle(b'-NAK {"delay": %d}' % int(delay_seconds * 1e9))

    async def _settle(self, verb: bytes) -> None:
        try:
            await self._connection.nc.publish(self._reply, verb)
        except (NatsError, OSError):
            return  # not connected: the server delivers it again


class EndFacts:
    """The queue of final facts under one consumer name."""

    def __init__(self, connection: Connection, names: Names, consumer: str) -> None:
        self._connection = connection
        self._names = names
        self._consumer = consumer
        self._positions = Positions(connection, names)
        self._pull: Pull | None = None
        self._stopped = False
        self._marked = 0

    async def take(self, limit: int) -> list[EndFact]:
        """Up to `limit`, waiting for the first. Empty only after `stop`."""
        while not self._stopped:
            pull = await self._opened()
            if pull is None:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if pull.ordered == 0:
                await pull.order(min(limit, ORDER_MAX))
            try:
                await pull.wait(1.0)
            except ConsumerGone:
                await pull.close()
                self._pull = None
                continue
            found = self._facts(pull, limit)
            if found:
                return found
        return []

    async def stop(self) -> None:
        """Take no more; a running `take` returns. What was delivered and not taken comes again at once."""
        self._stopped = True
        if self._pull is not None:
            await self._pull.close()
            for fact in self._facts(self._pull, ORDER_MAX):
                await fact.give_back(0.0)

    def _facts(self, pull: Pull, limit: int) -> list[EndFact]:
        found = []
        for message in pull.drain(limit):
            parsed = self._names.parse_fact_subject(message.subject)
            assert parsed is not None, "the consumer is filtered to facts of executions"
            found.append(EndFact(self._connection, parsed[0], parsed[2], message.data, message.reply))
        return found

    async def mark(self) -> None:
        """Note up to where every fact is settled, for the day on which the consumer must be made anew."""
        stream = self._names.executions
        try:
            info = await self._connection.js.consumer_info(stream, self._consumer)
        except (NatsError, nats.js.errors.Error) as error:
            raise Unavailable(f"consumer {self._consumer}: {error}") from None
        floor = info.ack_floor.stream_seq if info.ack_floor is not None else 0
        if floor > self._marked:
            await self._positions.store(self._consumer, floor)
            self._marked = floor

    async def _opened(self) -> Pull | None:
        """The standing order, or None while the server does not answer."""
        if self._pull is None:
            try:
                await self._ensure_consumer()
                pull = Pull(self._connection, self._names.executions, self._consumer)
                await pull.open()
            except (NatsError, nats.js.errors.Error, OSError, Unavailable):
                return None
            self._pull = pull
        return self._pull

    async def _ensure_consumer(self) -> None:
        stream = self._names.executions
        try:
            await self._connection.js.consumer_info(stream, self._consumer)
            return
        except nats.js.errors.NotFoundError:
            pass
        wanted = ConsumerConfig(
            durable_name=self._consumer,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_deliver=-1,
            max_ack_pending=ACK_PENDING_MAX,
            filter_subject=self._names.end_filter(),
        )
        floor = await self._positions.load(self._consumer) or 0
        info = await self._connection.js.stream_info(stream)
        if 0 < floor <= info.state.last_seq:
            # What stands before it is settled. A floor beyond the end is of another log than this one.
            wanted.deliver_policy, wanted.opt_start_seq = DeliverPolicy.BY_START_SEQUENCE, floor + 1
        await self._connection.js.add_consumer(stream, wanted)
