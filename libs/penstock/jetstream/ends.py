"""Final facts that somebody acts on, taken by one durable consumer that all copies of a service share."""

from nats.aio.msg import Msg

from penstock.jetstream.connect import Connection
from penstock.jetstream.intake import AckFloor, Delivery, Intake, exists, shared_consumer
from penstock.jetstream.pull import parse_reply
from penstock.wire.names import Names

ACK_PENDING_MAX = 2_000
ORDER_MAX = 200


class EndFact(Delivery):
    """One final fact as it stands in the log."""

    __slots__ = ("data", "execution_id", "function", "sequence")

    def __init__(self, connection: Connection, execution_id: str, function: str, data: bytes, reply: str) -> None:
        super().__init__(connection, reply)
        self.execution_id = execution_id
        self.function = function
        self.data = data
        self.sequence = parse_reply(reply).stream_sequence


class EndFacts:
    """The queue of final facts under one consumer name."""

    def __init__(self, connection: Connection, names: Names, consumer: str) -> None:
        self._connection = connection
        self._names = names
        self._consumer = consumer
        self._floor = AckFloor(connection, names, consumer)
        self._intake = Intake(connection, names.executions, consumer, self._ensure_consumer, ORDER_MAX)

    async def take(self, limit: int) -> list[EndFact]:
        """Up to `limit`, waiting for the first. Empty only after `stop`."""
        return [self._fact(message) for message in await self._intake.take(limit)]

    async def stop(self) -> None:
        """Take no more; a running `take` returns. What was delivered and not taken comes again at once."""
        for message in await self._intake.stop():
            await self._fact(message).give_back()

    async def mark(self) -> None:
        """Note up to where every fact is settled. Raises Unavailable."""
        await self._floor.mark()

    def _fact(self, message: Msg) -> EndFact:
        parsed = self._names.parse_fact_subject(message.subject)
        assert parsed is not None, "the consumer is filtered to facts of executions"
        return EndFact(self._connection, parsed[0], parsed[2], message.data, message.reply)

    async def _ensure_consumer(self) -> None:
        stream = self._names.executions
        if await exists(self._connection, stream, self._consumer):
            return
        subjects, start = self._names.end_filter(), await self._floor.start()
        wanted = shared_consumer(self._consumer, ACK_PENDING_MAX, subjects=subjects, start=start)
        await self._connection.js.add_consumer(stream, wanted)
