"""What the outside published to EVENTS, taken from one durable consumer that all copies of ingest share."""

from collections.abc import Mapping
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from penstock.jetstream.connect import Connection
from penstock.jetstream.intake import Delivery, Intake, exists, shared_consumer
from penstock.jetstream.pull import parse_reply
from penstock.jetstream.reader import DirectReader
from penstock.wire.names import Names

ACK_PENDING_MAX = 2_000
"""Messages under way at once, over all copies of ingest; the server's own default is a silent 1,000."""
ORDER_MAX = 250

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
    delivery: Delivery


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
        self._known_up_to = 0
        self._intake = Intake(connection, names.events, names.fan_out_consumer, self._ensure_consumer, ORDER_MAX)

    @property
    def problem(self) -> str | None:
        """Why nothing can be taken now."""
        return self._intake.problem

    async def take(self, limit: int) -> list[Published]:
        """Up to `limit` messages, waiting for the first. Empty only after `stop`."""
        return [self._published(message) for message in await self._intake.take(limit)]

    async def stop(self) -> None:
        """Take no more; what was delivered and not taken comes again elsewhere at once."""
        for message in await self._intake.stop():
            await Delivery(self._connection, message.reply).give_back()

    async def is_settled(self, sequence: int) -> bool:
        """True if the log says what became of the message. Raises Unavailable."""
        for kind in SETTLED_KINDS:
            subject = self._names.system_subject(kind, str(sequence))
            if await self._reader.last(self._names.executions, subject) is not None:
                return True
        return False

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
            delivery=Delivery(self._connection, message.reply),
        )

    async def _ensure_consumer(self) -> None:
        stream, name = self._names.events, self._names.fan_out_consumer
        if await exists(self._connection, stream, name):
            return
        self._known_up_to = await self._last_settled()
        # Messages under way together are settled in any order: those just before the last may still be open.
        start = max(1, self._known_up_to - ACK_PENDING_MAX + 1)
        await self._connection.js.add_consumer(stream, shared_consumer(name, ACK_PENDING_MAX, start=start))

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
