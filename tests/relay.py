"""A TCP proxy in front of a server, the base of lines that break."""

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Relay(ABC):
    """`async with` it: connects clients of `port` to the server. Subclasses say what passes, each way."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections; what was held back is lost. New ones work as usual."""
        for pump in self._pumps:
            pump.cancel()
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    @abstractmethod
    async def pump_there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From a client to the server, until it ends."""

    @abstractmethod
    async def pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the server to a client, until it ends."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            # The server is down: so is the line.
            writer.close()
            return
        self._writers |= {writer, back}
        for pump in (self.pump_there(reader, back), self.pump_back(there, writer)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)
