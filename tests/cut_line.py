"""A TCP proxy in front of a server that can hold back its answers, and cut the line with them still inside."""

import asyncio
from contextlib import suppress
from types import TracebackType


class CutLine:
    """`async with CutLine(port) as line:` connects clients of `line.port` to the server."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._answers = asyncio.Event()
        self._answers.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0
        self.sent = 0
        """Bytes that clients have sent to the server."""

    async def __aenter__(self) -> "CutLine":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def hold_answers(self) -> None:
        """From now on the server hears its clients, but they do not hear it."""
        self._answers.clear()

    def release_answers(self) -> None:
        """What was held back arrives after all."""
        self._answers.set()

    def cut(self) -> None:
        """Break all connections; what was held back is lost. New ones work as usual."""
        for pump in self._pumps:
            pump.cancel()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        self._answers.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            # The server is down: so is the line.
            writer.close()
            return
        self._writers |= {writer, back}
        for pump in (self._pump_there(reader, back), self._pump_back(there, writer)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump_there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A side that dies takes the other along, as on a real line.
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                self.sent += len(data)
        writer.close()

    async def _pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._answers.wait()
                writer.write(data)
        writer.close()
