"""Pulling from a consumer by long raw requests: cheaper per message than nats-py's `fetch`, and without its stalls."""

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from penstock.jetstream.connect import Connection
from penstock.wire.names import PULL_HEARTBEAT, PULL_PENDING

EXPIRES_SECONDS = 20.0
_WATCHDOG_SECONDS = 5.0
DRAIN_SECONDS = 2.0
HEARTBEAT_SECONDS = 4.0
"""In a cluster our line stays when the server that holds the order dies. It says so often that it has it."""
SILENT_SECONDS = 2.5 * HEARTBEAT_SECONDS
_HEARTBEAT = b',"idle_heartbeat":%d' % int(HEARTBEAT_SECONDS * 1e9)


class Metadata(NamedTuple):
    """What the reply subject of a delivered message tells."""

    deliveries: int
    stream_sequence: int
    consumer_sequence: int
    pending: int


def parse_reply(reply: str) -> Metadata:
    """Read `$JS.ACK...`, in the short form (9 tokens) or the one with domain and account (11 or more)."""
    tokens = reply.split(".")
    at = 4 if len(tokens) == 9 else 6
    return Metadata(int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 2]), int(tokens[at + 4]))


class ConsumerGone(Exception):  # noqa: N818
    """The consumer does not exist (any more)."""


class Pull:
    """A standing order of messages from one consumer. Requests lost in a reconnect are made again."""

    def __init__(self, connection: Connection, stream: str, consumer: str) -> None:
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._requests: dict[str, tuple[int, float]] = {}
        self._tokens = itertools.count()
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._ready: deque[Msg] = deque()
        self._changed = asyncio.Event()
        self._gone = False
        self._closed = False
        self._heard = 0.0

    async def open(self) -> None:
        self._inbox = self._connection.nc.new_inbox() + "."
        self._subscription = await self._connection.nc.subscribe(
            self._inbox + "*", cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._connection.reconnected.append(self._forget_requests)

    async def close(self) -> None:
        """Withdraw the order. Messages already here stay takable with `drain`."""
        self._closed = True
        self._changed.set()
        if self._forget_requests in self._connection.reconnected:
            self._connection.reconnected.remove(self._forget_requests)
        if self._subscription is not None and not self._connection.nc.is_closed:
            try:
                # Not `unsubscribe`: what the server has sent already must be here to be given back.
                drained = self._subscription.drain()  # type: ignore[no-untyped-call]
                await asyncio.wait_for(drained, DRAIN_SECONDS)
            except (NatsError, TimeoutError):
                return

    @property
    def ordered(self) -> int:
        """Messages asked for and not yet here."""
        return sum(left for left, _ in self._requests.values())

    async def order(self, count: int) -> None:
        """Ask for that many more messages."""
        token = str(next(self._tokens))
        loop = asyncio.get_running_loop()
        if not self._requests:
            self._heard = loop.time()
        self._requests[token] = (count, loop.time() + EXPIRES_SECONDS + _WATCHDOG_SECONDS)
        heartbeat = _HEARTBEAT if self._connection.is_clustered else b""
        body = b'{"batch":%d,"expires":%d%s}' % (count, int(EXPIRES_SECONDS * 1e9), heartbeat)
        try:
            await self._connection.nc.publish(self._subject, body, self._inbox + token)
        except (NatsError, OSError):
            # Not connected: the next round asks again.
            self._requests.pop(token, None)

    async def wait(self, seconds: float) -> None:
        """Until a message is here, an order ended, or the time is over. Raises ConsumerGone."""
        if not self._ready and not self._closed:
            self._changed.clear()
            timer = asyncio.get_running_loop().call_later(seconds, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                timer.cancel()
        self._drop_overdue()
        if self._gone and not self._ready:
            self._gone = False
            raise ConsumerGone(self._subject)

    def drain(self, limit: int) -> list[Msg]:
        """Messages that are here, oldest first."""
        ready = self._ready
        return [ready.popleft() for _ in range(min(limit, len(ready)))]

    async def _on_message(self, message: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if message.reply:
            # A delivered message keeps its own subject and does not tell which request it answers: count on the oldest.
            for token, (left, deadline) in self._requests.items():
                if left <= 1:
                    del self._requests[token]
                else:
                    self._requests[token] = (left - 1, deadline)
                break
            self._ready.append(message)
        elif (message.headers or {}).get("Status") != PULL_HEARTBEAT:
            self._end(message.subject[len(self._inbox) :], message.headers or {})
            status = (message.headers or {}).get("Status", "")
            description = (message.headers or {}).get("Description", "")
            # 409 also ends a request for harmless reasons (a leader moved); only a missing consumer matters.
            self._gone = self._gone or status == "503" or (status == "409" and "Consumer Deleted" in description)
        self._changed.set()

    def _end(self, token: str, headers: Mapping[str, str]) -> None:
        """A request is over. The server serves several in turn, so that more may be left of this one than we counted.

        What is too much must not stay on the others: we would wait for messages that nobody has been asked for.
        """
        left, _ = self._requests.pop(token, (0, 0.0))
        over = int(headers.get(PULL_PENDING, left)) - left
        for other, (count, deadline) in list(self._requests.items()):
            if over <= 0:
                break
            if count <= over:
                del self._requests[other]
            else:
                self._requests[other] = (count - over, deadline)
            over -= count

    def _forget_requests(self) -> None:
        self._requests.clear()
        self._changed.set()

    def _drop_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._connection.is_clustered and now > self._heard + SILENT_SECONDS:
            self._requests.clear()
        for token in [token for token, (_, deadline) in self._requests.items() if deadline < now]:
            del self._requests[token]
