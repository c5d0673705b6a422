"""Follows the log, makes spans of its facts and sends them; keeps how far the collector has taken them.

At least once: after a crash the spans since the stored position are sent again, with the same ids. A collector that is
down stops the reading, not the facts: they stay in the log, and the gap is filled when it is back.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import structlog

from penstock.ports import ExecutionLog, LogEntry, Unavailable
from penstock.telemetry.encode import EncodedSpan
from penstock.telemetry.trails import Trails

logger = structlog.get_logger("penstock")

READER = "spans"
STORE_SECONDS = 1.0
RETRY_SECONDS = 0.5
SLICE = 50
"""Entries whose spans are made without a pause."""


class Exporter(Protocol):
    """Where spans go."""

    done: int

    async def send(self, spans: list[EncodedSpan], position: int) -> None: ...


class Bookmark(Protocol):
    """Where the position is kept."""

    async def load(self, reader: str) -> int | None: ...

    async def store(self, reader: str, position: int) -> None: ...


class SpanLoop:
    """From the log to the exporter."""

    def __init__(self, trails: Trails, exporter: Exporter, bookmark: Bookmark) -> None:
        self._trails = trails
        self._exporter = exporter
        self._bookmark = bookmark
        self._stored = 0

    async def start_position(self, log: ExecutionLog) -> int:
        """Where to go on; the first time it is the end of the log, since traces are wanted from now on."""
        stored = await self._bookmark.load(READER)
        if stored is None:
            stored = await log.last_sequence()
            await self._bookmark.store(READER, stored)
        self._stored = stored
        return stored

    async def run(self, batches: AsyncIterator[list[LogEntry]]) -> None:
        """Until the batches end."""
        async for batch in batches:
            for start in range(0, len(batch), SLICE):
                entries, spans = batch[start : start + SLICE], list[EncodedSpan]()
                await self._collect(entries, spans)
                await self._exporter.send(spans, entries[-1].sequence)
                # What starts executions in this process must not wait for a whole batch of spans.
                await asyncio.sleep(0)

    async def keep_position(self, stopping: asyncio.Event) -> None:
        """Store how far the collector has got, every STORE_SECONDS while it gets on."""
        while not stopping.is_set():
            try:
                await asyncio.wait_for(stopping.wait(), STORE_SECONDS)
            except TimeoutError:
                await self.store_position()

    async def store_position(self) -> None:
        """Store it now if it has moved."""
        done = self._exporter.done
        if done > self._stored:
            try:
                await self._bookmark.store(READER, done)
                self._stored = done
            except Unavailable:
                return  # later; until then a crash would only send some spans twice

    async def _collect(self, entries: list[LogEntry], spans: list[EncodedSpan]) -> None:
        while True:
            try:
                await self._trails.collect(entries, spans)
            except Unavailable as problem:
                logger.warning("spans_wait_for_the_log", problem=str(problem))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
