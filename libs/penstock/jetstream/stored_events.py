"""Stored events of some names: looked through from a position on, or followed. Nothing here acknowledges or consumes.

Without anybody who asks there is no consumer, and publishing an event costs nothing more.
"""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any, NamedTuple

from penstock.jetstream.api import ApiRefused, request
from penstock.jetstream.connect import Connection
from penstock.jetstream.follow import follow_messages
from penstock.jetstream.inbox import stored_at
from penstock.jetstream.reader import DirectReader, StoredMessage
from penstock.wire.names import Names

BATCH = 512
NAMES_MAX = 100
"""With more names than this all events are followed: the server compares each event with each filter."""
MESSAGE_UNKNOWN = 10037

_ADDED = frozenset({"nats-stream", "nats-subject", "nats-sequence", "nats-time-stamp", "nats-num-pending",
                    "nats-last-sequence"})  # fmt: skip
"""Headers that the server adds to what is read without a consumer."""


class StoredEvent(NamedTuple):
    """One message of EVENTS; the fields are those of `wire.published.Message`."""

    sequence: int
    name: str
    headers: Mapping[str, str]
    data: bytes
    received_at: int


class StoredEvents:
    """The stream EVENTS as events by name."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names
        self._reader = DirectReader(connection)

    async def last(self) -> int:
        """Position of the newest message. Raises Unavailable."""
        info = await request(self._connection, f"$JS.API.STREAM.INFO.{self._names.events}")
        return int(info["state"]["last_seq"])

    async def read(self, name: str, after: int) -> tuple[list[StoredEvent], bool]:
        """Up to 512 events of this name after the position, and whether these are all there were when this was asked.

        Raises Unavailable.
        """
        stream, subject = self._names.events, self._names.event_subject(name)
        found = await self._reader.subject(stream, subject, after + 1, BATCH)
        events = [_read(name, message) for message in found]
        if len(events) >= BATCH:
            return events, False
        return events, not await self._is_there(subject, events[-1].sequence if events else after)

    async def follow(self, names: Collection[str], after: int) -> AsyncGenerator[list[StoredEvent], None]:
        """Events of these names after the position, in batches, then live, for ever; other events may be among them."""
        subjects = [self._names.event_subject(name) for name in sorted(names)]
        if len(subjects) > NAMES_MAX:
            subjects = [self._names.event_subject(">")]
        async with aclosing(follow_messages(self._connection, self._names.events, after, subjects)) as source:
            async for batch in source:
                yield [self._delivered(meta.stream_sequence, message) for meta, message in batch]

    async def _is_there(self, subject: str, after: int) -> bool:
        """Whether the leader of the stream has another message on the subject: what was read may come from a copy of
        the stream that lags behind.
        """
        body = {"seq": after + 1, "next_by_subj": subject}
        try:
            await request(self._connection, f"$JS.API.STREAM.MSG.GET.{self._names.events}", body)
        except ApiRefused as refusal:
            if refusal.code != MESSAGE_UNKNOWN:
                raise
            return False
        return True

    def _delivered(self, sequence: int, message: Any) -> StoredEvent:
        parsed = self._names.parse_event_subject(message.subject)
        assert parsed is not None, "the consumer is filtered to events"
        headers = {name.lower(): str(value) for name, value in (message.headers or {}).items()}
        return StoredEvent(sequence, parsed[1], headers, message.data, stored_at(message.reply))


def _read(name: str, message: StoredMessage) -> StoredEvent:
    headers = {name.lower(): str(value) for name, value in message.headers.items()}
    received_at = _micros(headers["nats-time-stamp"])
    given = {name: value for name, value in headers.items() if name not in _ADDED}
    return StoredEvent(message.sequence, name, given, message.data, received_at)


def _micros(text: str) -> int:
    """RFC 3339 with up to nine digits behind the point, in microseconds since the epoch, cut off."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 1_000_000 + int(fraction.ljust(6, "0")[:6] or "0")
