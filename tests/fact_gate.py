"""A line between a client and nats-server that breaks for chosen executions at chosen facts, before or after them."""

import asyncio
from types import TracebackType


class Stop:
    """Where one execution stops: at its fact number `left`, which still reaches the server or does not."""

    def __init__(self, left: int, passes: bool) -> None:
        self.left = left
        self.passes = passes
        self.closed = False


class FactGate:
    """Forwards everything except what belongs to an execution that has reached its stop.

    From then on nothing of that execution is published, and the acknowledgement of its last fact never comes back.
    """

    def __init__(self, port: int, prefix: str) -> None:
        self._target = port
        self._prefix = prefix.encode()
        self._stops: dict[bytes, Stop] = {}
        self._muted: set[bytes] = set()
        """Reply subjects whose acknowledgement is held back."""
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.all_closed = asyncio.Event()
        self.port = 0

    def stop(self, execution_id: str, number: int, passes: bool) -> None:
        """Break at the fact with this number that comes from this side, counted from 1."""
        self._stops[execution_id.encode()] = Stop(number, passes)

    async def __aenter__(self) -> "FactGate":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, back]
        for pump in (self._pump_there(reader, back), self._pump_back(there, writer)):
            self._pumps.add(asyncio.create_task(pump))

    async def _pump_there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    async def _pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = line.split()
            payload = b""
            if words and words[0] in (b"MSG", b"HMSG"):
                payload = await reader.readexactly(int(words[-1]) + 2)
                if words[1] in self._muted:
                    continue
            writer.write(line + payload)
