"""Who follows changes live: one fold for all readers, a bounded stretch of recent changes, and the log behind it.

A reader is a position and nothing else. One that has read everything waits here; one that is behind what is kept here,
because it came back or is slow, reads the log page by page until it is near again. So nobody holds up anybody, and a
reader that never reads costs what its socket holds.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from sqlalchemy.exc import SQLAlchemyError

from penstock.domain.errors import Rejected
from penstock.domain.limits import stream_readers_max, stream_replay_facts_max
from penstock.ports import LogEntry, Unavailable
from penstock_query.changes import Change, Folder
from penstock_query.progress import Progress

logger = structlog.get_logger("penstock.query")

KEPT = 2000
"""Changes kept for all; twice as many for a moment."""
PAGE = 200
"""Changes handed to a reader at once."""
SCAN = 500
"""Facts read from the log at once."""
SCANS_AT_ONCE = 2
SCANS_MAX = 4
RETRY_SECONDS = 0.5
VIEW_SECONDS = 60.0

Subscribe = Callable[[int], AsyncIterator[list[LogEntry]]]
Scan = Callable[[int, int], Awaitable[list[LogEntry]]]
"""(after, limit) -> the entries of the log that follow."""


class Stretch(NamedTuple):
    """Changes up to a position. `skipped`: those before it were left out, being too many."""

    changes: list[Change]
    position: int
    skipped: bool = False


class Changes:
    """The changes of this process's view."""

    def __init__(
        self,
        subscribe: Subscribe,
        scan: Scan,
        folder: Callable[[], Folder],
        position: Callable[[], Awaitable[int]],
        progress: Progress,
    ) -> None:
        """`position` tells where the view stands."""
        self._subscribe = subscribe
        self._scan = scan
        self._folder = folder
        self._where = position
        self._progress = progress
        self._recent: list[Change] = []
        self._floor = self._position = 0
        """All changes between these two are in `_recent`."""
        self._moved = asyncio.Event()
        self._turns = asyncio.Semaphore(SCANS_AT_ONCE)
        self._readers = 0
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    async def position(self) -> int:
        """Where a reader begins that names no position. Raises Rejected `unavailable` when there are too many."""
        if self._readers >= stream_readers_max:
            raise Rejected("unavailable", f"{stream_readers_max} readers follow the stream of this process already.")
        return await self._where()

    @contextmanager
    def reader(self) -> Iterator[None]:
        """Follow the log as long as there are readers."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def close(self) -> None:
        """End all streams; their readers come back elsewhere, or later."""
        self.closed = True
        self._wake()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def until(self, stopping: asyncio.Event) -> None:
        """End the streams when the process stops, so that it need not wait for them."""
        await stopping.wait()
        await self.close()

    async def after(self, position: int, seconds: float) -> Stretch:
        """Some of the changes that follow a position, as soon as there are any; none when the time is over."""
        if self._task is None or self._task.done():
            await self._begin()
        if position < self._floor:
            return await self._replayed(position)
        if position >= self._position:
            await self._wait(seconds)
        if position < self._floor:
            return Stretch([], position)
        start = bisect_right(self._recent, position, key=_sequence)
        found = self._recent[start : start + PAGE]
        is_all = start + len(found) == len(self._recent)
        return Stretch(found, max(position, self._position) if is_all else found[-1].sequence)

    async def _begin(self) -> None:
        position = await self._where()
        if (self._task is None or self._task.done()) and not self.closed:
            self._recent.clear()
            self._floor = self._position = position
            self._task = asyncio.create_task(self._run(), name="stream")

    async def _wait(self, seconds: float) -> None:
        if self.closed:
            return
        moved = self._moved
        try:
            async with asyncio.timeout(seconds):
                await moved.wait()
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _replayed(self, position: int) -> Stretch:
        """The next changes from the log, for a reader that is behind what is kept."""
        floor = self._floor
        if floor - position > stream_replay_facts_max:
            return Stretch([], floor, skipped=True)
        for _ in range(SCANS_MAX):
            async with self._turns:
                entries = await self._scan(position, SCAN)
                if entries:
                    changes = await self._folder().fold([entry for entry in entries if entry.sequence <= floor])
                    return Stretch(changes, min(entries[-1].sequence, floor))
            # A replica that lags answers with less than there is; it catches up, or the facts were removed.
            await asyncio.sleep(RETRY_SECONDS)
        return Stretch([], floor)

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (SQLAlchemyError, OSError, Unavailable) as error:
                logger.warning("stream_failed", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        folder = self._folder()
        source = self._subscribe(self._position)
        try:
            async for entries in source:
                changes = await folder.fold(entries)
                last = entries[-1].sequence
                while not await self._progress.reached(last, VIEW_SECONDS, hurry=False):
                    logger.warning("view_behind", position=self._progress.position, wanted=last)
                self._publish(changes, last)
        finally:
            await source.aclose()  # type: ignore[attr-defined]

    def _publish(self, changes: list[Change], position: int) -> None:
        self._recent.extend(changes)
        if len(self._recent) > 2 * KEPT:
            gone = self._recent[:-KEPT]
            self._floor = gone[-1].sequence
            del self._recent[: len(gone)]
        self._position = position
        self._wake()


def _sequence(change: Change) -> int:
    return change.sequence
