"""Taking runnable activations from the log: one durable consumer per function, shared by all runners that have it."""

import asyncio
from collections.abc import Awaitable, Callable

import nats.js.errors
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from penstock.jetstream.connect import Connection
from penstock.jetstream.positions import Positions
from penstock.jetstream.pull import ConsumerGone, Pull, parse_reply
from penstock.ports import Item, Unavailable
from penstock.wire.names import Names

ACK_WAIT_SECONDS = 30.0
"""An item that nobody settles or prolongs for so long is delivered again."""

ACK_PENDING_MAX = 20_000
"""Items of one function under way at once, over all runners; the server's own default is a silent 1,000."""

ORDER_MAX = 500
RETRY_SECONDS = 0.5


class JetStreamItem:
    """ports.Item: one delivered run fact."""

    __slots__ = ("_connection", "_reply", "data", "deliveries", "execution_id", "function", "sequence")

    def __init__(self, connection: Connection, execution_id: str, function: str, reply: str, data: bytes) -> None:
        meta = parse_reply(reply)
        self._connection = connection
        self._reply = reply
        self.execution_id = execution_id
        self.function = function
        self.sequence = meta.stream_sequence
        self.deliveries = meta.deliveries
        self.data = data

    async def ack(self) -> None:
        """It is done with. A lost acknowledgement only causes a harmless redelivery."""
        await self._settle(b"")

    async def in_progress(self) -> None:
        """It is still being worked on; starts the redelivery clock anew."""
        await self._settle(b"+WPI")

    async def give_back(self, delay_seconds: float = 0.0) -> None:
        """Deliver it again after the delay, perhaps elsewhere."""
        if delay_seconds > 0:
            await self._settle(b'-NAK {"delay": %d}' % int(delay_seconds * 1e9))
        else:
            await self._settle(b"-NAK")

    async def _settle(self, verb: bytes) -> None:
        try:
            await self._connection.nc.publish(self._reply, verb)
        except (NatsError, OSError):
            # Not connected: the server delivers the item again, and the fold tells what to do.
            return


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
        self._positions = Positions(connection, names)
        self._connection = connection
        self._names = names
        self._function = function
        self._declared = max_ack_pending
        self._changed = changed
        self._pull: Pull | None = None
        self._stopped = False
        self._marked = 0

    async def take(self, limit: int) -> list[Item]:
        """Up to `limit` items, waiting for the first. Empty only after `stop`."""
        while not self._stopped:
            pull = await self._opened()
            if pull is None:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            missing = min(limit, ORDER_MAX) - pull.ordered
            if missing > 0 and (pull.ordered == 0 or missing >= ORDER_MAX // 2):
                await pull.order(missing)
            try:
                await pull.wait(1.0)
            except ConsumerGone:
                await self._drop()
                continue
            items = self._items(pull, limit)
            if items:
                return items
        return self._items(self._pull, limit) if self._pull is not None else []

    async def mark(self) -> None:
        """Note up to where every item is settled, for the day on which the consumer must be made anew."""
        stream, name = self._names.executions, self._names.runner_consumer(self._function)
        try:
            info = await self._connection.js.consumer_info(stream, name)
        except (NatsError, nats.js.errors.Error) as error:
            raise Unavailable(f"consumer of {self._function}: {error}") from None
        floor = info.ack_floor.stream_seq if info.ack_floor is not None else 0
        if floor > self._marked:
            await self._positions.store(name, floor)
            self._marked = floor

    async def stop(self) -> None:
        """Take no more; a running `take` returns. What was delivered and not taken comes again elsewhere at once."""
        self._stopped = True
        pull = self._pull
        if pull is not None:
            await pull.close()
            for item in self._items(pull, 1_000_000):
                await item.give_back()

    def _items(self, pull: Pull, limit: int) -> list[Item]:
        found: list[Item] = []
        for message in pull.drain(limit):
            parsed = self._names.parse_fact_subject(message.subject)
            assert parsed is not None
            found.append(JetStreamItem(self._connection, parsed[0], parsed[2], message.reply, message.data))
        return found

    async def _opened(self) -> Pull | None:
        if self._pull is None:
            try:
                await self._ensure_consumer()
                pull = Pull(self._connection, self._names.executions, self._names.runner_consumer(self._function))
                await pull.open()
            except (NatsError, nats.js.errors.Error, OSError, Unavailable) as error:
                if self._connection.problem is None and isinstance(error, nats.js.errors.BadRequestError):
                    raise Unavailable(f"consumer of {self._function}: {error}") from None
                return None
            self._pull = pull
        return self._pull

    async def _drop(self) -> None:
        if self._pull is not None:
            await self._pull.close()
            self._pull = None

    async def _ensure_consumer(self) -> None:
        """Make the consumer, or bring its limit up to date: other settings never change."""
        stream, name = self._names.executions, self._names.runner_consumer(self._function)
        changed = await self._changed() if self._changed is not None else None
        wanted = ConsumerConfig(
            durable_name=name,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_SECONDS,
            max_deliver=-1,
            max_ack_pending=changed if changed is not None else self._declared,
            filter_subject=self._names.run_filter(self._function),
        )
        try:
            found = await self._connection.js.consumer_info(stream, name)
        except nats.js.errors.NotFoundError:
            floor = await self._floor()
            if floor:
                # What stands before it is finished; reading all of a long history again would take minutes.
                wanted.deliver_policy, wanted.opt_start_seq = DeliverPolicy.BY_START_SEQUENCE, floor + 1
            await self._connection.js.add_consumer(stream, wanted)
            return
        if found.config.max_ack_pending != wanted.max_ack_pending:
            await self._connection.js.add_consumer(stream, wanted)

    async def _floor(self) -> int:
        """The position noted last; 0 if there is none, or if it is of another log than this one."""
        floor = await self._positions.load(self._names.runner_consumer(self._function)) or 0
        info = await self._connection.js.stream_info(self._names.executions)
        return floor if floor <= info.state.last_seq else 0
