"""A line between a client and nats-server that breaks for chosen executions at chosen facts, before or after them."""

import asyncio

from relay import Relay


class Stop:
    """Where one execution stops: at its fact number `left`, which still reaches the server or does not."""

    def __init__(self, left: int, passes: bool) -> None:
        self.left = left
        self.passes = passes
        self.closed = False


class FactGate(Relay):
    """Forwards everything except what belongs to an execution that has reached its stop.

    From then on nothing of that execution is published, and the acknowledgement of its last fact never comes back.
    """

    def __init__(self, port: int, prefix: str) -> None:
        super().__init__(port)
        self._prefix = prefix.encode()
        self._stops: dict[bytes, Stop] = {}
        self._muted: set[bytes] = set()
        """Reply subjects whose acknowledgement is held back."""
        self.all_closed = asyncio.Event()

    def stop(self, execution_id: str, number: int, passes: bool) -> None:
        """Break at the fact with this number that comes from this side, counted from 1."""
        self._stops[execution_id.encode()] = Stop(number, passes)

    async def pump_there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = line.split()
            payload = b""
            if words and words[0] in (b"PUB", b"HPUB"):
                payload = await reader.readexactly(int(words[-1]) + 2)
                if not self._lets_through(words):
                    continue
            writer.write(line + payload)

    def _lets_through(self, words: list[bytes]) -> bool:
        if not words[1].startswith(self._prefix):
            return True
        stop = self._stops.get(words[1][len(self._prefix) :].split(b".")[0])
        if stop is None:
            return True
        if stop.closed:
            return False
        stop.left -= 1
        if stop.left > 0:
            return True
        stop.closed = True
        self._muted.add(words[2])
        if all(each.closed for each in self._stops.values()):
            self.all_closed.set()
        return stop.passes

    async def pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = line.split()
            payload = b""
            if words and words[0] in (b"MSG", b"HMSG"):
                payload = await reader.readexactly(int(words[-1]) + 2)
                if words[1] in self._muted:
                    continue
            writer.write(line + payload)
