"""A line to a server that can hold back its answers, and be cut with them still inside."""

import asyncio
from contextlib import suppress

from relay import Relay


class CutLine(Relay):
    """`async with CutLine(port) as line:` connects clients of `line.port` to the server."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._answers = asyncio.Event()
        self._answers.set()
        self.sent = 0
        """Bytes that clients have sent to the server."""

    def hold_answers(self) -> None:
        """From now on the server hears its clients, but they do not hear it."""
        self._answers.clear()

    def release_answers(self) -> None:
        """What was held back arrives after all."""
        self._answers.set()

    def cut(self) -> None:
        super().cut()
        self._answers.set()

    async def pump_there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A side that dies takes the other along, as on a real line.
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                self.sent += len(data)
        writer.close()

    async def pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._answers.wait()
                writer.write(data)
        writer.close()
