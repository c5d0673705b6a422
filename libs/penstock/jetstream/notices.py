"""Deliveries in the log: made known once, told how they went, read one by one; and where their reader stands."""

from collections.abc import AsyncIterator

from penstock.domain.notify.delivery import Delivery, evolve
from penstock.domain.notify.notice import Notice
from penstock.domain.system import AnySystemFact, ChannelDisabled, ChannelEnabled, NotificationDue
from penstock.jetstream.log import JetStreamLog
from penstock.ports import Conflict, LogEntry
from penstock.wire import names as wire
from penstock.wire.codec import decode_system_fact

KIND = "notification"
CHANNEL_KIND = "channel"


class NoticeLog:
    """What the log knows of notifications to channels."""

    def __init__(self, log: JetStreamLog) -> None:
        self.log = log
        self._names = log.names

    async def due(self, channel: str, notice: Notice, at: int) -> bool:
        """Make a notice known; False if the log has it already. Raises Unavailable."""
        fact = NotificationDue(at=at, channel=channel, notice=notice)
        try:
            await self.log.append_system(KIND, f"{channel}.{notice.id}", fact, expected=0)
        except Conflict:
            return False
        return True

    async def tell(self, delivery: Delivery, fact: AnySystemFact) -> Delivery:
        """Store what became of it. Raises Conflict when somebody else told something meanwhile, and Unavailable."""
        key = f"{delivery.channel}.{delivery.notice.id}"
        sequence = await self.log.append_system(KIND, key, fact, expected=delivery.sequence)
        after = evolve(delivery, fact, sequence)
        assert after is not None
        return after

    async def read(self, channel: str, notification: str) -> Delivery | None:
        """One delivery as it is now. Raises Unavailable."""
        subject = self._names.delivery_subject(channel, notification)
        state: Delivery | None = None
        for message in await self.log.reader.subject(self._names.executions, subject):
            fact = decode_system_fact(message.data)
            state = evolve(state, fact, message.sequence) if fact is not None else state
        return state

    async def find(self, notification: str) -> list[Delivery]:
        """The deliveries of one notification, to all its channels. Raises Unavailable."""
        subject = self._names.delivery_filter(notification=notification)
        found: dict[str, Delivery | None] = {}
        for message in await self.log.reader.subject(self._names.executions, subject):
            fact, parsed = decode_system_fact(message.data), self._names.parse_delivery_subject(message.subject)
            if fact is not None and parsed is not None:
                found[parsed[0]] = evolve(found.get(parsed[0]), fact, message.sequence)
        return [each for each in found.values() if each is not None]

    def follow(self, channel: str, after: int) -> AsyncIterator[list[LogEntry]]:
        """Entries about the deliveries of a channel, in batches, then live."""
        return self.log.follow(after, self._names.delivery_filter(channel))

    async def disabled(self, channel: str) -> str | None:
        """Why nothing may be sent there; None while it may. Raises Unavailable."""
        last = await self.log.read_system(CHANNEL_KIND, channel)
        fact = decode_system_fact(last.data) if last is not None else None
        return fact.reason if isinstance(fact, ChannelDisabled) else None

    async def disable(self, channel: str, reason: str, at: int) -> None:
        """Send nothing more there. Raises Unavailable."""
        await self.log.append_system(CHANNEL_KIND, channel, ChannelDisabled(at=at, channel=channel, reason=reason))

    async def enable(self, channel: str, author: str, at: int) -> int:
        """Send there again; answers with the position. Raises Unavailable."""
        return await self.log.append_system(
            CHANNEL_KIND, channel, ChannelEnabled(at=at, channel=channel, author=author)
        )


class Bookmark:
    """A small value that one writer at a time keeps in the bucket of positions: a late rival's write is refused."""

    def __init__(self, log: JetStreamLog, reader: str) -> None:
        self._log = log
        self._subject = log.names.position_subject(reader)
        self._sequence = 0

    async def load(self) -> bytes | None:
        """What was stored last, from which this writer goes on. Raises Unavailable."""
        stored = await self._log.reader.last(self._log.names.positions_stream, self._subject)
        self._sequence = stored.sequence if stored is not None else 0
        return stored.data if stored is not None else None

    async def store(self, data: bytes) -> None:
        """Raises Conflict when somebody else has stored meanwhile, and Unavailable."""
        headers = {wire.EXPECTED_SEQUENCE: str(self._sequence)}
        self._sequence = await self._log.publisher.publish(self._subject, data, headers)
