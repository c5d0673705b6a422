"""A bounded number of places, handed out in the order of asking."""

import asyncio
from collections import deque


class Slots:
    """`free` places are left. Taking one costs nothing while there are some."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._room = asyncio.Event()
        self._room.set()

    async def take(self) -> None:
        """A place, waiting for one."""
        if self.free > 0 and not self._waiting:
            self._taken()
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Whoever has waited longest gets it."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self.free += 1
        self._room.set()

    async def has_room(self) -> None:
        """Until a place is free; it may be gone again when one tries to take it."""
        await self._room.wait()

    def _taken(self) -> None:
        self.free -= 1
        if self.free == 0:
            self._room.clear()
