"""A line between a client and nats-server that breaks for ever at one chosen fact: just before it is sent, or after."""

import asyncio
from types import TracebackType


class FactGate:
    """Counts messages published below `prefix`; at number `stop_at` it falls silent in both directions.

    `passes` tells whether that message still reaches the server; its acknowledgement never comes back.
    """

    def __init__(self, port: int, prefix: str, stop_at: int, passes: bool) -> None:
        self._target = port
        self._prefix = prefix.encode()
        self._left = stop_at
        self._passes = passes
        self.passed = stop_at if passes else stop_at - 1
        """How many of them reach the server."""
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.closed = asyncio.Event()
        self.port = 0

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
                self._left -= words[1].startswith(self._prefix)
            if self._left == 0 and not self.closed.is_set():
                if self._passes:
                    writer.write(line + payload)
                    await writer.drain()
                self.closed.set()
            if not self.closed.is_set():
                writer.write(line + payload)

    async def _pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.closed.is_set():
                writer.write(data)
