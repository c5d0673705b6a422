"""Pipelined publishing: many messages under way at once, each answered by its own acknowledgement.

nats-py's `publish_async` costs several times as much per message (a task, a lock and a timer each); one shared inbox
and one table of futures do the same.
"""

import asyncio
import itertools
from collections.abc import Mapping, Sequence

import msgspec
from nats.aio.msg import Msg
from nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    OutboundBufferLimitError,
)

from penstock.jetstream.connect import Connection
from penstock.jetstream.lean import command
from penstock.ports import Conflict, Unavailable

ANSWER_SECONDS = 5.0
"""A publish that is not acknowledged by then has an unknown outcome."""

_NOT_SENT = (MaxPayloadError, OutboundBufferLimitError, ConnectionClosedError, ConnectionDrainingError, OSError)

_CONFLICTS = frozenset({10071, 10164})
"""Wrong last sequence: single server and cluster answer with different codes."""


class Written(msgspec.Struct, frozen=True, gc=False):
    """A message of our own making; `head` are whole header lines, of names and numbers only."""

    subject: str
    head: str
    data: bytes


class Unanswered(Unavailable):
    """No acknowledgement in time: it may be stored now, later, or never."""


class _ApiError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class PubAck(msgspec.Struct):
    """The server's answer to a publish."""

    seq: int = 0
    error: _ApiError | None = None
    batch: str = ""
    count: int = 0


_decode_ack = msgspec.json.Decoder(PubAck).decode


class Publisher:
    """Publishes to streams over one connection. Open it before the first use."""

    def __init__(self, connection: Connection, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._connection = connection
        self._answer_seconds = answer_seconds
        self._tokens = itertools.count()
        self._waiting: dict[str, tuple[asyncio.Future[PubAck], float]] = {}
        self._inbox = ""
        self._prefix_length = 0
        self._loop = asyncio.get_event_loop()
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Subscribe to the inbox of acknowledgements."""
        self._loop = asyncio.get_running_loop()
        self._connection.reconnected.append(self._on_reconnected)
        self._inbox = self._connection.nc.new_inbox() + "."
        self._prefix_length = len(self._inbox)
        await self._connection.nc.subscribe(
            self._inbox + "*", cb=self._on_answer, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def send(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> asyncio.Future[PubAck]:
        """Put one message on the wire; the future holds the acknowledgement, or raises Conflict or Unavailable."""
        token, future = await self._expect()
        await self._put(subject, data, headers, self._inbox + token, future)
        if future.done():
            self._waiting.pop(token, None)
        return future

    async def send_all(self, messages: Sequence[Written]) -> asyncio.Future[PubAck]:
        """Put messages on the wire in one piece; the future holds the acknowledgement of the last, or raises."""
        token, future = await self._expect()
        *others, last = messages
        commands = [command(each.subject, "", each.head, each.data) for each in others]
        commands.append(command(last.subject, self._inbox + token, last.head, last.data))
        largest = max(len(each.data) for each in messages)
        try:
            await self._connection.nc.write(b"".join(commands), largest)
        except _NOT_SENT as error:
            self._waiting.pop(token, None)
            future.set_exception(self._not_sent(error, largest))
        return future

    async def _expect(self) -> tuple[str, asyncio.Future[PubAck]]:
        """A place for one more acknowledgement."""
        if not self._inbox:
            await self.open()
        token = str(next(self._tokens))
        future: asyncio.Future[PubAck] = self._loop.create_future()
        self._waiting[token] = (future, self._loop.time() + self._answer_seconds)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._answer_seconds, self._expire)
        return token, future

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Store one message and answer with its sequence. Raises Conflict or Unavailable."""
        return (await (await self.send(subject, data, headers))).seq

    async def _put(
        self,
        subject: str,
        data: bytes,
        headers: Mapping[str, str] | None,
        reply: str,
        future: asyncio.Future[PubAck],
    ) -> None:
        try:
            await self._connection.nc.publish(subject, data, reply, dict(headers) if headers else None)
        except _NOT_SENT as error:
            future.set_exception(self._not_sent(error, len(data)))

    def _not_sent(self, error: Exception, size: int) -> Unavailable:
        if isinstance(error, MaxPayloadError):
            return Unavailable(f"a message of {size} bytes is larger than the server takes")
        return Unavailable(f"not connected to NATS: {self._connection.problem or type(error).__name__}")

    async def _on_answer(self, message: Msg) -> None:
        entry = self._waiting.pop(message.subject[self._prefix_length :], None)
        if entry is None or entry[0].done():
            return
        future = entry[0]
        if not message.data:
            future.set_exception(Unavailable("no stream takes this subject"))
            return
        ack = _decode_ack(message.data)
        if ack.error is None:
            future.set_result(ack)
        elif ack.error.err_code in _CONFLICTS:
            future.set_exception(Conflict(ack.error.description))
        else:
            future.set_exception(Unavailable(f"{ack.error.description} (NATS error {ack.error.err_code})"))

    def _on_reconnected(self) -> None:
        """Answers to what was sent over the old connection will never come."""
        waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            if not future.done():
                future.set_exception(Unanswered("the connection broke before the acknowledgement came"))

    def _expire(self) -> None:
        """Give up on the oldest. The table is in order of sending, so the first one still in time ends the search."""
        now = self._loop.time()
        self._sweep = None
        while self._waiting:
            token, (future, deadline) = next(iter(self._waiting.items()))
            if deadline > now:
                self._sweep = self._loop.call_at(deadline, self._expire)
                return
            del self._waiting[token]
            if not future.done():
                future.set_exception(Unanswered(f"no acknowledgement within {self._answer_seconds:g} s"))
