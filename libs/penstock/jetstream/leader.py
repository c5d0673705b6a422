"""One of many leads: whoever holds the lease of a role. It saves double work and fences nothing; sequences do that."""

import time
from collections.abc import Callable

from penstock.jetstream.connect import Connection
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import DirectReader
from penstock.ports import Conflict, Unavailable
from penstock.wire import names as wire
from penstock.wire.names import Names
from penstock.wire.topology import LEASE_SECONDS


class Leadership:
    """The lease of one role. Call `hold` every second or two."""

    def __init__(
        self,
        connection: Connection,
        names: Names,
        role: str,
        holder: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = Publisher(connection)
        self._reader = DirectReader(connection)
        self._stream = names.leases_stream
        self._subject = names.lease_subject(f"lead-{role}")
        self._holder = holder
        self._monotonic = monotonic
        self._sequence = 0
        self._until = 0.0

    @property
    def is_leader(self) -> bool:
        """True while the lease is ours by our own watch."""
        return self._monotonic() < self._until

    async def hold(self) -> bool:
        """Take the lease if nobody has it, or renew ours; answers whether we lead."""
        for _ in range(2):
            asked, expected = self._monotonic(), self._sequence
            headers = {wire.EXPECTED_SEQUENCE: str(expected)}
            try:
                self._sequence = await self._publisher.publish(self._subject, self._holder.encode(), headers)
            except Conflict:
                await self._look(asked)
            except Unavailable:
                break
            else:
                self._until = asked + LEASE_SECONDS * 0.8
            if self.is_leader or self._sequence in (0, expected):
                break
            # It was given up: whoever asks again now need not wait for the next round.
        return self.is_leader

    async def give_up(self) -> None:
        """Let somebody else lead at once. Raises Unavailable."""
        if self._sequence and self.is_leader:
            self._until = 0.0
            headers = {wire.EXPECTED_SEQUENCE: str(self._sequence), wire.KV_OPERATION: "DEL"}
            try:
                await self._publisher.publish(self._subject, b"", headers)
            except Conflict:
                return

    async def holder(self) -> str | None:
        """Who leads, as far as the bucket tells. Raises Unavailable."""
        stored = await self._reader.last(self._stream, self._subject)
        if stored is None or wire.KV_OPERATION in stored.headers:
            return None
        return stored.data.decode()

    async def _look(self, asked: float) -> None:
        """Somebody wrote the lease, or it lapsed: see which."""
        try:
            stored = await self._reader.last(self._stream, self._subject)
        except Unavailable:
            return
        if stored is None:
            self._sequence, self._until = 0, 0.0
        elif wire.KV_OPERATION in stored.headers:
            self._sequence, self._until = stored.sequence, 0.0
        elif stored.data.decode() == self._holder:
            # Our own write, whose answer was lost.
            self._sequence, self._until = stored.sequence, asked + LEASE_SECONDS * 0.8
        else:
            # What was ours is not any more; once theirs lapses the subject is empty again.
            self._sequence, self._until = 0, 0.0
