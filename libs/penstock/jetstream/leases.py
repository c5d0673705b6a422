"""Proof of life of runners and schedulers: values in a bucket that the server forgets unless they are renewed.

The value of a runner says which versions of which functions it has.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from penstock.jetstream.connect import Connection
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import DirectReader
from penstock.wire import names as wire
from penstock.wire.names import Names
from penstock.wire.topology import LEASE_SECONDS

_ALIVE = b"alive"


class _Carried(msgspec.Struct):
    versions: dict[str, str]


_decode = msgspec.json.Decoder(_Carried).decode


class LeaseTable:
    """ports.Leases. All its times are the server's and the process's own durations: no two clocks are ever compared."""

    def __init__(self, connection: Connection, names: Names, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._publisher = Publisher(connection)
        self._reader = DirectReader(connection)
        self._monotonic = monotonic
        self._benefit_until = 0.0
        self._value = _ALIVE
        connection.reconnected.append(self._on_reconnected)

    async def renew(self, holder: str) -> None:
        """Good for LEASE_SECONDS from now. Raises Unavailable."""
        await self._publisher.publish(self._names.lease_subject(holder), self._value)

    def carry(self, versions: Mapping[str, str]) -> None:
        """From the next renewal on, say that the holder has these functions in these versions."""
        self._value = msgspec.json.encode(_Carried(dict(versions)))

    async def versions(self) -> dict[str, dict[str, str]]:
        """Living runner -> function -> version. Raises Unavailable."""
        found = {}
        subject = self._names.lease_subject("*")
        for stored in await self._reader.subject(self._names.leases_stream, subject):
            if wire.KV_OPERATION in stored.headers or stored.data == _ALIVE:
                continue
            with suppress(msgspec.DecodeError):
                found[stored.subject.rpartition(".")[2]] = _decode(stored.data).versions
        return found

    async def release(self, holder: str) -> None:
        """The holder is leaving in good order: nobody needs to wait for the lease to lapse. Raises Unavailable."""
        await self._publisher.publish(self._names.lease_subject(holder), b"", {wire.KV_OPERATION: "DEL"})

    async def is_alive(self, holder: str) -> bool:
        """Whether the holder may still be at work. Raises Unavailable: not being able to look is no proof of death."""
        stored = await self._reader.last(self._names.leases_stream, self._names.lease_subject(holder))
        if stored is not None:
            return wire.KV_OPERATION not in stored.headers
        # After an outage nobody had the chance to renew: all get one lease time to do so.
        return self._monotonic() < self._benefit_until

    def _on_reconnected(self) -> None:
        self._benefit_until = self._monotonic() + LEASE_SECONDS
