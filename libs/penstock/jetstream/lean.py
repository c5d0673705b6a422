"""The nats-py client, spared three things: parsing headers of log entries and wake-ups that nobody reads, checking
each letter of those that are read, and checking and flushing each message of many that are written together.

Every stored fact carries the headers of its conditional append, and every wake-up says where it comes from. nats-py
parses the headers of each delivered message, which took a sixth of a follower's time. Answers and status messages keep
theirs; what a direct get brings is split in a few steps, which takes a third of the time. What we write ourselves,
names and numbers of our own making, goes to the wire as it is, a batch in one piece: `publish` made each message cost
four times as much. This uses private members, so the dependency is pinned to a minor version and
`tests/nats/test_lean.py` watches both sides.
"""

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, ConnectionDrainingError, MaxPayloadError, OutboundBufferLimitError

from penstock.wire.names import BATCH_ID, EXPECTED_SEQUENCE, SCHEDULER

_UNREAD = tuple(f"NATS/1.0\r\n{first}: ".encode() for first in (EXPECTED_SEQUENCE, BATCH_ID, SCHEDULER))
_READ = b"\r\nNats-Sequence: "
"""A direct get appends its own headers to those of the stored message."""


_PLAIN = b"NATS/1.0\r\n"
"""Headers without a status."""


def _read_headers(headers: bytes) -> dict[str, str]:
    """The headers of a message that was read: a long history is read many thousand at a time."""
    lines = (line.partition(":") for line in headers.decode("utf-8", "replace").split("\r\n")[1:])
    return {name: value.strip() for name, separator, value in lines if separator}


def command(subject: str, reply: str, head: str, data: bytes) -> bytes:
    """One message as it goes over the wire. `head` are whole header lines; nothing here is checked."""
    if not head:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(data), data)
    headers = f"NATS/1.0\r\n{head}\r\n".encode()
    size = len(headers)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (
        subject.encode(), reply.encode(), size, size + len(data), headers, data
    )  # fmt: skip


class LeanClient(Client):
    """A client for which delivered facts and wake-ups have no headers, and which writes commands that are made."""

    async def write(self, commands: bytes, largest: int) -> None:
        """Put whole commands on the wire, the largest with so many bytes of data. Raises what `publish` raises."""
        if self.is_closed:
            raise ConnectionClosedError
        if self.is_draining_pubs:
            raise ConnectionDrainingError
        if not self.is_connected:
            raise OutboundBufferLimitError
        if largest > self._max_payload:
            raise MaxPayloadError
        await self._send_command(commands)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        if headers is not None and headers.startswith(_PLAIN):
            if _READ in headers:
                return _read_headers(headers)
            if headers.startswith(_UNREAD):
                return None
        parsed: dict[str, str] | None = await super()._process_headers(headers)
        return parsed
