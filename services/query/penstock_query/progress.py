"""Who waits for what: a log position, the fan-out of an event, the final state of an execution."""

import asyncio
import heapq
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

K = TypeVar("K")
Waiter = asyncio.Future[None]


class Progress:
    """How far the view is, and those who wait for it to come further."""

    def __init__(self) -> None:
        self.position = 0
        self.wanted = asyncio.Event()
        """Set while somebody waits: the projector then commits at once instead of gathering a larger batch."""
        self.watched = asyncio.Event()
        """Set while somebody waits, in a hurry or not: one who does not project must look for himself."""
        self._order = itertools.count()
        self._positions: list[tuple[int, int, Waiter]] = []
        self._events: dict[int, set[Waiter]] = {}
        self._finals: dict[str, set[Waiter]] = {}
        self._waiting = 0
        self._hurried = 0

    @property
    def waiting_events(self) -> list[int]:
        return list(self._events)

    @property
    def waiting_executions(self) -> list[str]:
        return list(self._finals)

    def begin(self, position: int) -> None:
        """Projecting begins at this position, which lies behind the last one if the view was replaced."""
        self.position = position
        self.advance(position, (), ())

    def advance(self, position: int, events: Iterable[int], finals: Iterable[str]) -> None:
        """The view has committed up to `position`; these events and final states came with it."""
        self.position = max(self.position, position)
        while self._positions and self._positions[0][0] <= self.position:
            _resolve(heapq.heappop(self._positions)[2])
        for sequence in events if self._events else ():
            for waiter in self._events.get(sequence, ()):
                _resolve(waiter)
        for execution_id in finals if self._finals else ():
            for waiter in self._finals.get(execution_id, ()):
                _resolve(waiter)

    async def reached(self, position: int, seconds: float, *, hurry: bool = True) -> bool:
        """Wait until the view has reached the position; False when the time is over."""
        if self.position >= position:
            return True
        waiter: Waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._positions, (position, next(self._order), waiter))
        try:
            return await self.wait(waiter, seconds, hurry=hurry)
        finally:
            if self.position < position:
                self._positions = [each for each in self._positions if each[2] is not waiter]
                heapq.heapify(self._positions)

    @contextmanager
    def event(self, sequence: int) -> Iterator[Waiter]:
        """Resolved by the next commit that holds this event's fan-out. Ask the view inside, then wait."""
        with _registered(self._events, sequence) as waiter:
            yield waiter

    @contextmanager
    def final(self, execution_id: str) -> Iterator[Waiter]:
        """Resolved by the next commit with a final state of this execution."""
        with _registered(self._finals, execution_id) as waiter:
            yield waiter

    async def wait(self, waiter: Waiter, seconds: float, *, hurry: bool = True) -> bool:
        """True if it was resolved in time."""
        self._count(1, hurry)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._count(-1, hurry)
        return True

    def _count(self, change: int, hurry: bool) -> None:
        self._waiting += change
        self._hurried += change if hurry else 0
        for count, event in ((self._waiting, self.watched), (self._hurried, self.wanted)):
            if count:
                event.set()
            else:
                event.clear()


@contextmanager
def _registered(waiting: dict[K, set[Waiter]], key: K) -> Iterator[Waiter]:
    waiter: Waiter = asyncio.get_running_loop().create_future()
    waiting.setdefault(key, set()).add(waiter)
    try:
        yield waiter
    finally:
        left = waiting[key]
        left.discard(waiter)
        if not left:
            del waiting[key]


def _resolve(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(None)
