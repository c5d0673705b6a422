"""The nats-py client, spared two things: parsing headers of log entries and wake-ups that nobody reads, and checking
each letter of those that are read.

Every stored fact carries the headers of its conditional append, and every wake-up says where it comes from. nats-py
parses the headers of each delivered message, which took a sixth of a follower's time. Answers and status messages keep
theirs; what a direct get brings is split in a few steps, which takes a third of the time. This overrides a private
method, so the dependency is pinned to a minor version and `tests/nats/test_lean.py` watches both sides.
"""

from nats.aio.client import Client

from penstock.wire.names import EXPECTED_SEQUENCE, SCHEDULER

_UNREAD = tuple(f"NATS/1.0\r\n{first}: ".encode() for first in (EXPECTED_SEQUENCE, SCHEDULER))
_READ = b"\r\nNats-Sequence: "
"""A direct get appends its own headers to those of the stored message."""


_PLAIN = b"NATS/1.0\r\n"
"""Headers without a status."""


def _read_headers(headers: bytes) -> dict[str, str]:
    """The headers of a message that was read: a long history is read many thousand at a time."""
    lines = (line.partition(":") for line in headers.decode("utf-8", "replace").split("\r\n")[1:])
    return {name: value.strip() for name, separator, value in lines if separator}


class LeanClient(Client):
    """A client for which delivered facts and wake-ups have no headers."""

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        if headers is not None and headers.startswith(_PLAIN):
            if _READ in headers:
                return _read_headers(headers)
            if headers.startswith(_UNREAD):
                return None
        parsed: dict[str, str] | None = await super()._process_headers(headers)
        return parsed
