"""One follower for all readers of a process; a reader that is behind, or slow, catches up alone and joins again."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from penstock.ports import LogEntry

RECENT_BATCHES = 32
SEAT_BATCHES_MAX = 64
"""A reader that leaves so many batches unread is cut loose: it must not hold up the others, nor fill the memory."""


class Followable(Protocol):
    """What a feed reads from."""

    def follow(self, after: int) -> AsyncIterator[list[LogEntry]]: ...


class _Seat:
    """One reader at the shared follower."""

    def __init__(self) -> None:
        self.batches: deque[list[LogEntry]] = deque()
        self.changed = asyncio.Event()
        self.overrun = False


class Feed:
    """Shares one follower of the log."""

    def __init__(self, log: Followable) -> None:
        self._log = log
        self._seats: set[_Seat] = set()
        self._recent: deque[list[LogEntry]] = deque(maxlen=RECENT_BATCHES)
        self._position = 0
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop the shared follower."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

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
        oldest = self._recent[0][0].sequence - 1 if self._recent else self._position
        return position >= oldest

    async def _shared(self, position: int) -> AsyncIterator[list[LogEntry]]:
        seat = _Seat()
        if self._task is None or self._task.done():
            self._recent.clear()
            self._position = position
            self._task = asyncio.create_task(self._follow(position), name="feed")
        seat.batches.extend(self._recent)
        self._seats.add(seat)
        try:
            while not seat.overrun:
                while seat.batches:
                    batch = seat.batches.popleft()
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
            self._recent.append(batch)
            for seat in list(self._seats):
                if len(seat.batches) >= SEAT_BATCHES_MAX:
                    seat.overrun = True
                    self._seats.discard(seat)
                else:
                    seat.batches.append(batch)
                seat.changed.set()
