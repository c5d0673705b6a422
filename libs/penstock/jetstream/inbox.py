"""What the outside published to EVENTS, taken from one durable consumer that all copies of ingest share."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from penstock.jetstream.connect import Connection
from penstock.jetstream.pull import ConsumerGone, Pull, parse_reply
from penstock.jetstream.reader import DirectReader
from penstock.ports import Unavailable
from penstock.wire.names import Names

logger = structlog.get_logger("penstock")

ACK_WAIT_SECONDS = 30.0
ACK_PENDING_MAX = 2_000
"""Messages under way at once, over all copies of ingest; the server's own default is a silent 1,000."""
RETRY_SECONDS = 0.5

SETTLED_KINDS = ("event_fanned_out", "event_rejected")


class Published(NamedTuple):
    """One message of EVENTS. `headers` have lower-case names; `received_at` is when the server stored it (µs)."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    data: bytes
    received_at: int
    deliveries: int
    is_repeat: bool
    """It was delivered before, or may have been: look whether it is settled."""
    reply: str


def stored_at(reply: str) -> int:
    """When the server stored a delivered message (µs), as its reply subject tells."""
    tokens = reply.split(".")
    return int(tokens[7] if len(tokens) == 9 else tokens[9]) // 1000


class EventInbox:
    """The consumer `fan-out`. Made anew, it starts where the log says that its predecessor had come to."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names
        self._reader = DirectReader(connection)
        self._pull: Pull | None = None
        self._stopped = False
        self._known_up_to = 0
        self.problem: str | None = "not opened yet"

    async def take(self, limit: int) -> list[Published]:
        """Up to `limit` messages, waiting for the first. Empty only after `stop`."""
        while not self._stopped:
            pull = await self._opened()
            if pull is None:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if pull.ordered < limit // 2 or pull.ordered == 0:
                await pull.order(limit - pull.ordered)
            try:
                await pull.wait(1.0)
            except ConsumerGone:
                await self._drop("the consumer is gone; making it anew")
                continue
            messages = pull.drain(limit)
            if messages:
                return [self._published(message) for message in messages]
        return []

    async def stop(self) -> None:
        """Take no more; what was delivered and not taken comes again elsewhere at once."""
        self._stopped = True
        if self._pull is not None:
            await self._pull.close()
            for message in self._pull.drain(ACK_PENDING_MAX):
                await self.give_back(message.reply)

    async def ack(self, message: Published) -> None:
        """Everything that follows from it is stored. A lost acknowledgement only causes a harmless redelivery."""
        await self._settle(message.reply, b"")

    async def give_back(self, reply: str, delay_seconds: float = 0.0) -> None:
        """Deliver it again after the delay."""
        verb = b'-NAK {"delay": %d}' % int(delay_seconds * 1e9) if delay_seconds > 0 else b"-NAK"
        await self._settle(reply, verb)

    async def is_settled(self, sequence: int) -> bool:
        """True if the log says what became of the message. Raises Unavailable."""
        for kind in SETTLED_KINDS:
            subject = self._names.system_subject(kind, str(sequence))
            if await self._reader.last(self._names.executions, subject) is not None:
                return True
        return False

    async def _settle(self, reply: str, verb: bytes) -> None:
        try:
            await self._connection.nc.publish(reply, verb)
        except (NatsError, OSError):
            # Not connected: the server delivers the message again.
            return

    def _published(self, message: Msg) -> Published:
        meta = parse_reply(message.reply)
        # A header in raw UTF-8 arrives as an object of the email package, not as text.
        headers = {name.lower(): str(value) for name, value in (message.headers or {}).items()}
        repeat = meta.deliveries > 1 or meta.stream_sequence <= self._known_up_to
        return Published(
            sequence=meta.stream_sequence,
            subject=message.subject,
            headers=headers,
            data=message.data,
            received_at=stored_at(message.reply),
            deliveries=meta.deliveries,
            is_repeat=repeat,
            reply=message.reply,
        )

    async def _opened(self) -> Pull | None:
        if self._pull is None:
            try:
                await self._ensure_consumer()
                pull = Pull(self._connection, self._names.events, self._names.fan_out_consumer)
                await pull.open()
            except (NatsError, nats.js.errors.Error, OSError, Unavailable) as error:
                self.problem = f"the consumer of {self._names.events} cannot be had: {error}"
                logger.warning("inbox_unavailable", error=str(error))
                return None
            self._pull, self.problem = pull, None
        return self._pull

    async def _drop(self, problem: str) -> None:
        self.problem = problem
        if self._pull is not None:
            await self._pull.close()
            self._pull = None

    async def _ensure_consumer(self) -> None:
        stream, name = self._names.events, self._names.fan_out_consumer
        try:
            await self._connection.js.consumer_info(stream, name)
            return
        except nats.js.errors.NotFoundError:
            pass
        self._known_up_to = await self._last_settled()
        # Messages under way together are settled in any order: those just before the last may still be open.
        start = max(1, self._known_up_to - ACK_PENDING_MAX + 1)
        await self._connection.js.add_consumer(
            stream,
            ConsumerConfig(
                durable_name=name,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_SECONDS,
                max_deliver=-1,
                max_ack_pending=ACK_PENDING_MAX,
            ),
        )

    async def _last_settled(self) -> int:
        """The EVENTS position of the message that was settled last, 0 if none was."""
        found = [
            await self._reader.last(self._names.executions, self._names.system_subject(kind, "*"))
            for kind in SETTLED_KINDS
        ]
        return max((int(message.subject.rpartition(".")[2]) for message in found if message is not None), default=0)


class Hints:
    """News on their way to live runners. Nothing depends on them: runners also look with every heartbeat."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names

    async def cancel(self, runner: str, execution_id: str) -> None:
        """Tell the runner that this execution shall stop."""
        await self.look(runner, execution_id)

    async def look(self, runner: str, execution_id: str) -> None:
        """Tell the runner that the log has news of this execution."""
        try:
            await self._connection.nc.publish(self._names.hint_subject(runner), execution_id.encode())
        except (NatsError, OSError):
            return
