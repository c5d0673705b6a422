"""One follower for all readers of a process; a reader that is behind, or slow, catches up alone and joins again.

While the process has urgent work (`is_pressed`), patient readers let it go first, for a while.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from penstock.ports import LogEntry

RECENT_BATCHES = 32
SEAT_ENTRIES_MAX = 64_000
SEAT_BYTES_MAX = 32 * 1024 * 1024
"""A reader that leaves so much unread is cut loose: it must not hold up the others, nor fill the memory."""

PATIENCE_SECONDS = 1.0
"""So long at most a patient reader waits for urgent work to be done."""
TURN_SECONDS = 3.0
"""For so long it then reads without waiting, however pressed the process is."""
LOOK_SECONDS = 0.02


class Followable(Protocol):
    """What a feed reads from."""

    def follow(self, after: int) -> AsyncIterator[list[LogEntry]]: ...


class _Seat:
    """One reader at the shared follower."""

    def __init__(self) -> None:
        self.batches: deque[tuple[list[LogEntry], int]] = deque()
        self.unread = 0
        self.unread_bytes = 0
        self.changed = asyncio.Event()
        self.overrun = False

    def put(self, batch: list[LogEntry], size: int) -> None:
        self.batches.append((batch, size))
        self.unread += len(batch)
        self.unread_bytes += size

    def take(self) -> list[LogEntry]:
        batch, size = self.batches.popleft()
        self.unread -= len(batch)
        self.unread_bytes -= size
        return batch

    def cut_loose(self) -> None:
        """It reads on by itself, from where it is: what was put aside for it would only fill the memory."""
        self.overrun = True
        self.batches.clear()


class Feed:
    """Shares one follower of the log."""

    def __init__(
        self, log: Followable, seat_entries_max: int = SEAT_ENTRIES_MAX, seat_bytes_max: int = SEAT_BYTES_MAX
    ) -> None:
        self._log = log
        self._seat_entries_max = seat_entries_max
        self._seat_bytes_max = seat_bytes_max
        self._seats: set[_Seat] = set()
        self._recent: deque[tuple[list[LogEntry], int]] = deque(maxlen=RECENT_BATCHES)
        self._position = 0
        self._task: asyncio.Task[None] | None = None
        self.is_pressed: Callable[[], bool] = lambda: False
        """Whether this process has work that must not wait."""

    async def close(self) -> None:
        """Stop the shared follower."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def subscribe_patiently(self, after: int) -> AsyncIterator[list[LogEntry]]:
        """The same for a reader that others do not wait for."""
        clock, busy_until = asyncio.get_running_loop().time, 0.0
        source = self.subscribe(after)
        try:
            async for batch in source:
                began = clock()
                while self.is_pressed() and began >= busy_until and clock() < began + PATIENCE_SECONDS:
                    await asyncio.sleep(LOOK_SECONDS)
                if clock() >= began + PATIENCE_SECONDS:
                    busy_until = clock() + TURN_SECONDS
                yield batch
        finally:
            await source.aclose()  # type: ignore[attr-defined]

    async def subscribe(self, after: int) -> AsyncIterator[list[LogEntry]]:
        """All entries after the sequence, in batches, then live."""
        position = after
        while True:
            if self._may_join(position):
                async for batch in self._shared(position):
                    position = batch[-1].sequence
                    yield batch
            else:
                alone = self._log.follow(position)
                try:
                    async for batch in alone:
                        position = batch[-1].sequence
                        yield batch
                        if self._may_join(position):
                            break
                finally:
                    await alone.aclose()  # type: ignore[attr-defined]

    def _may_join(self, position: int) -> bool:
        if self._task is None or self._task.done():
            return True
        oldest = self._recent[0][0][0].sequence - 1 if self._recent else self._position
        return position >= oldest

    async def _shared(self, position: int) -> AsyncIterator[list[LogEntry]]:
        seat = _Seat()
        if self._task is None or self._task.done():
            self._recent.clear()
            self._position = position
            self._task = asyncio.create_task(self._follow(position), name="feed")
        for recent in self._recent:
            seat.put(*recent)
        self._seats.add(seat)
        try:
            while not seat.overrun:
                while seat.batches:
                    batch = seat.take()
                    if batch[0].sequence <= position:
                        batch = [entry for entry in batch if entry.sequence > position]
                    if batch:
                        position = batch[-1].sequence
                        yield batch
                seat.changed.clear()
                if not seat.batches and not seat.overrun:
                    await seat.changed.wait()
        finally:
            self._leave(seat)

    def _leave(self, seat: _Seat) -> None:
        self._seats.discard(seat)
        if not self._seats and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _follow(self, after: int) -> None:
        async for batch in self._log.follow(after):
            self._position = batch[-1].sequence
            size = sum(len(entry.data) for entry in batch)
            self._recent.append((batch, size))
            while len(self._recent) > 1 and sum(size for _, size in self._recent) > self._seat_bytes_max:
                self._recent.popleft()
            for seat in list(self._seats):
                if seat.unread >= self._seat_entries_max or seat.unread_bytes >= self._seat_bytes_max:
                    seat.cut_loose()
                    self._seats.discard(seat)
                else:
                    seat.put(batch, size)
                seat.changed.set()
