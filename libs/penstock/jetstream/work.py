"""Taking runnable activations from the log: one durable consumer per function, shared by all runners that have it."""

from collections.abc import Awaitable, Callable

import nats.js.errors
from nats.aio.msg import Msg

from penstock.jetstream.connect import Connection
from penstock.jetstream.intake import AckFloor, ConsumerRefused, Delivery, Intake, shared_consumer
from penstock.jetstream.pull import parse_reply
from penstock.ports import Item
from penstock.wire.names import Names

ACK_PENDING_MAX = 20_000
"""Items of one function under way at once, over all runners; the server's own default is a silent 1,000."""

ORDER_MAX = 500


class JetStreamItem(Delivery):
    """ports.Item: one delivered run fact."""

    __slots__ = ("data", "deliveries", "execution_id", "function", "sequence")

    def __init__(self, connection: Connection, execution_id: str, function: str, reply: str, data: bytes) -> None:
        super().__init__(connection, reply)
        meta = parse_reply(reply)
        self.execution_id = execution_id
        self.function = function
        self.sequence = meta.stream_sequence
        self.deliveries = meta.deliveries
        self.data = data


class JetStreamWork:
    """ports.WorkSource for one function. `max_ack_pending` is the limit over all runners (concurrency).

    `changed` asks what somebody has set in its place while everything runs.
    """

    def __init__(
        self,
        connection: Connection,
        names: Names,
        function: str,
        max_ack_pending: int = ACK_PENDING_MAX,
        changed: Callable[[], Awaitable[int | None]] | None = None,
    ) -> None:
        self._connection = connection
        self._names = names
        self._consumer = names.runner_consumer(function)
        self._function = function
        self._declared = max_ack_pending
        self._changed = changed
        self._floor = AckFloor(connection, names, self._consumer)
        self._intake = Intake(connection, names.executions, self._consumer, self._ensure_consumer, ORDER_MAX)

    async def take(self, limit: int) -> list[Item]:
        """Up to `limit` items, waiting for the first. Empty only after `stop`. Raises Unavailable if it is refused."""
        return [self._item(message) for message in await self._intake.take(limit)]

    async def mark(self) -> None:
        """Note up to where every item is settled. Raises Unavailable."""
        await self._floor.mark()

    async def stop(self) -> None:
        """Take no more; a running `take` returns. What was delivered and not taken comes again elsewhere at once."""
        for message in await self._intake.stop():
            await self._item(message).give_back()

    def _item(self, message: Msg) -> JetStreamItem:
        parsed = self._names.parse_fact_subject(message.subject)
        assert parsed is not None, "the consumer is filtered to facts of executions"
        return JetStreamItem(self._connection, parsed[0], parsed[2], message.reply, message.data)

    async def _ensure_consumer(self) -> None:
        """Make the consumer, or bring its limit up to date: other settings never change."""
        stream = self._names.executions
        changed = await self._changed() if self._changed is not None else None
        limit = changed if changed is not None else self._declared
        subjects = self._names.run_filter(self._function)
        try:
            try:
                found = (await self._connection.js.consumer_info(stream, self._consumer)).config
            except nats.js.errors.NotFoundError:
                start = await self._floor.start()
                wanted = shared_consumer(self._consumer, limit, subjects=subjects, start=start)
            else:
                if found.max_ack_pending == limit:
                    return
                # All else as it is: the server does not let a consumer begin elsewhere than it once did.
                wanted = found.evolve(max_ack_pending=limit)
            await self._connection.js.add_consumer(stream, wanted)
        except nats.js.errors.BadRequestError as error:
            if self._connection.problem is None:
                raise ConsumerRefused(f"consumer of {self._function}: {error}") from None
            raise
