"""Follows the log, makes spans of its facts and sends them; keeps how far the collector has taken them.

At least once: after a crash the spans since the stored position are sent again, with the same ids. A collector that is
down stops the reading, not the facts: they stay in the log, and the gap is filled when it is back.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

import msgspec
import structlog

from penstock.domain.execution.facts import FINAL, AnyFact, Enqueued, Unknown
from penstock.ports import ExecutionLog, LogEntry, Unavailable
from penstock.telemetry.spans import SpanData, Trail
from penstock.wire.codec import decode_fact
from penstock.wire.names import Names

logger = structlog.get_logger("penstock")

READER = "spans"
TRAILS_MAX = 100_000
"""Open executions remembered; what is older is read from the log again when it goes on."""
STORE_SECONDS = 1.0
RETRY_SECONDS = 0.5


class Exporter(Protocol):
    """Where spans go."""

    done: int

    async def send(self, spans: list[SpanData], position: int) -> None: ...


class Bookmark(Protocol):
    """Where the position is kept."""

    async def load(self, reader: str) -> int | None: ...

    async def store(self, reader: str, position: int) -> None: ...


class Trails:
    """The open ends of executions, by id; the log gives back what was forgotten."""

    def __init__(self, log: ExecutionLog, names: Names, room: int = TRAILS_MAX) -> None:
        self._log = log
        self._names = names
        self._room = room
        self._trails: OrderedDict[str, Trail] = OrderedDict()

    async def spans(self, batch: Iterable[LogEntry]) -> list[SpanData]:
        """The spans that these entries complete. Raises Unavailable; then the batch may be given again."""
        found: list[SpanData] = []
        for sequence, subject, data in batch:
            parsed = self._names.parse_fact_subject(subject)
            if parsed is None:
                continue
            try:
                fact = decode_fact(data)
            except msgspec.DecodeError:
                continue
            execution_id, _, function = parsed
            trail = await self._trail(execution_id, function, sequence, fact)
            found += trail.add(fact)
            if isinstance(fact, FINAL):
                self._trails.pop(execution_id, None)
        return found

    async def _trail(self, execution_id: str, function: str, sequence: int, fact: AnyFact | Unknown) -> Trail:
        trail = self._trails.get(execution_id)
        if trail is None:
            trail = Trail(execution_id)
            if not isinstance(fact, Enqueued):
                for recorded in await self._log.read(execution_id, function):
                    if recorded.sequence < sequence:
                        trail.add(recorded.fact)
            self._trails[execution_id] = trail
        # What goes on stays: a long history is not to be read again and again.
        self._trails.move_to_end(execution_id)
        if len(self._trails) > self._room:
            self._trails.popitem(last=False)
        return trail


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
            spans: list[SpanData] = []
            for entry in batch:
                spans += await self._spans_of(entry)
            await self._exporter.send(spans, batch[-1].sequence)

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

    async def _spans_of(self, entry: LogEntry) -> list[SpanData]:
        while True:
            try:
                return await self._trails.spans([entry])
            except Unavailable as problem:
                logger.warning("spans_wait_for_the_log", problem=str(problem))
                await asyncio.sleep(RETRY_SECONDS)
