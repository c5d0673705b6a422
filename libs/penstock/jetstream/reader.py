"""Reading the log without a consumer: batched direct gets of literal subjects, 0.1 to 0.2 ms each.

In a cluster any replica answers a direct get, also one that is behind; what has just been acknowledged may then be
missing. There the leader of the stream is asked for the last message first, and a replica's answer has to reach it.
"""

import asyncio
import base64
import itertools
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from penstock.jetstream.api import ApiRefused, request
from penstock.jetstream.connect import Connection
from penstock.ports import Unavailable
from penstock.wire import names as wire

BATCH = 512
READ_SECONDS = 5.0
BEHIND_SECONDS = 0.01
"""Pause before a replica that is behind is asked again; another may answer."""
NOT_FOUND = 10037


class StoredMessage(NamedTuple):
    """One message of a stream."""

    sequence: int
    subject: str
    data: bytes
    headers: dict[str, str]


class _Request:
    __slots__ = ("future", "messages", "pending")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self.messages: list[StoredMessage] = []
        self.pending = 0


class _Held(msgspec.Struct):
    """A message as the leader of a stream shows it."""

    subject: str
    seq: int
    data: str = ""
    hdrs: str = ""
    time: str = ""


class DirectReader:
    """Direct gets on any stream over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tokens = itertools.count()
        self._requests: dict[str, _Request] = {}
        self._inbox = ""

    async def subject(self, stream: str, subject: str, start: int = 1, limit: int | None = None) -> list[StoredMessage]:
        """The messages on a subject (or filter) from the sequence on, in order, up to `limit`. Raises Unavailable."""
        if self._connection.is_clustered:
            return await self._settled(stream, subject, start, limit)
        found: list[StoredMessage] = []
        while True:
            batch = BATCH if limit is None else min(BATCH, limit - len(found))
            reply = await self._ask(stream, {"seq": start, "next_by_subj": subject, "batch": batch})
            found.extend(reply.messages)
            if not reply.messages or not reply.pending or (limit is not None and len(found) >= limit):
                return found
            start = reply.messages[-1].sequence + 1

    async def last(self, stream: str, subject: str) -> StoredMessage | None:
        """The newest message on a subject or filter."""
        return await self._one(stream, {"last_by_subj": subject})

    async def at(self, stream: str, sequence: int) -> StoredMessage | None:
        """The message with this sequence."""
        return await self._one(stream, {"seq": sequence})

    async def position_at(self, stream: str, subject: str, at: int) -> int:
        """The sequence before the first message on a filter that was stored at `at` or later (microseconds).

        When nothing has been stored since, that is the last sequence on the filter; 0 when there is none.
        """
        since = datetime.fromtimestamp(at / 1_000_000, UTC).isoformat().replace("+00:00", "Z")
        first = await self._one(stream, {"start_time": since, "next_by_subj": subject})
        if first is not None:
            return first.sequence - 1
        last = await self.last(stream, subject)
        return last.sequence if last is not None else 0

    async def _one(self, stream: str, body: dict[str, object]) -> StoredMessage | None:
        """A single message, as its leader has it."""
        if self._connection.is_clustered:
            return await self._ask_leader(stream, body)
        reply = await self._ask(stream, body)
        return reply.messages[0] if reply.messages else None

    async def _settled(self, stream: str, subject: str, start: int, limit: int | None) -> list[StoredMessage]:
        """What a cluster has acknowledged on the subject, whichever replica answers."""
        last = await self._ask_leader(stream, {"last_by_subj": subject})
        found: list[StoredMessage] = []
        deadline = asyncio.get_running_loop().time() + READ_SECONDS
        while last is not None and start <= last.sequence and (limit is None or len(found) < limit):
            batch = BATCH if limit is None else min(BATCH, limit - len(found))
            reply = await self._ask(stream, {"seq": start, "next_by_subj": subject, "batch": batch})
            found.extend(reply.messages)
            if reply.messages:
                start = reply.messages[-1].sequence + 1
            elif asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"a replica of {stream} has been behind for {READ_SECONDS:g} s")
            else:
                await asyncio.sleep(BEHIND_SECONDS)
                last = await self._ask_leader(stream, {"last_by_subj": subject})
        return found

    async def _ask_leader(self, stream: str, body: dict[str, object]) -> StoredMessage | None:
        try:
            answer = await request(self._connection, f"$JS.API.STREAM.MSG.GET.{stream}", body, READ_SECONDS)
        except ApiRefused as refusal:
            if refusal.code == NOT_FOUND:
                return None
            raise Unavailable(f"the log cannot be read: {refusal}") from None
        stored = msgspec.convert(answer["message"], _Held)
        data, lines = base64.b64decode(stored.data), base64.b64decode(stored.hdrs).decode("utf-8", "replace")
        headers = dict(line.split(": ", 1) for line in lines.split("\r\n") if ": " in line)
        headers[wire.TIME_STAMP] = stored.time
        return StoredMessage(stored.seq, stored.subject, data, headers)

    async def _ask(self, stream: str, body: dict[str, object]) -> _Request:
        if not self._inbox:
            inbox = self._connection.nc.new_inbox() + "."
            await self._connection.nc.subscribe(
                inbox + "*", cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0
            )
            self._inbox = inbox
        token = str(next(self._tokens))
        request = _Request(asyncio.get_running_loop().create_future())
        self._requests[token] = request
        timer = asyncio.get_running_loop().call_later(READ_SECONDS, self._time_out, token)
        try:
            await self._connection.nc.publish(
                f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(body), self._inbox + token
            )
            await request.future
        except (NatsError, OSError) as error:
            raise Unavailable(f"the log cannot be read: {self._connection.problem or error}") from None
        finally:
            timer.cancel()
            self._requests.pop(token, None)
        return request

    async def _on_message(self, message: Msg) -> None:
        request = self._requests.get(message.subject[len(self._inbox) :])
        if request is None or request.future.done():
            return
        headers = message.headers or {}
        status = headers.get("Status")
        if status == "503":
            request.future.set_exception(Unavailable("no stream answers; is this environment provisioned?"))
        elif status is not None:
            # 204 ends a batch, 404 says that nothing was found.
            request.future.set_result(None)
        else:
            stored = StoredMessage(int(headers["Nats-Sequence"]), headers["Nats-Subject"], message.data, headers)
            request.messages.append(stored)
            pending = headers.get("Nats-Num-Pending")
            if pending is None:
                request.future.set_result(None)
            else:
                request.pending = int(pending)

    def _time_out(self, token: str) -> None:
        request = self._requests.get(token)
        if request is not None and not request.future.done():
            request.future.set_exception(Unavailable(f"the log did not answer within {READ_SECONDS:g} s"))
