"""Executions that wait behind the same limits with the same keys stand in one line: if its head is blocked, all are."""

from collections import deque
from enum import IntEnum
from heapq import heappop, heappush
from typing import Any

import msgspec

from penstock.domain.flow.gates import Gate, Order

PRIORITY_US = 1_000_000
"""One unit of priority is worth a second of waiting, so that low priority ages instead of starving."""


class Status(IntEnum):
    """Where a gated execution is."""

    AWAY = 0
    """Delayed, in a retry's backoff, or suspended in a wait."""
    WAITING = 1
    HOLDING = 2
    """Admitted: it has its slots until its outcome, a wait, a retry or a move."""
    DROPPED = 3
    """A limit refused it; the fact that says so is not yet in the log."""
    GATHERING = 4
    """It waits together with others, to be merged with them or to run with them."""
    JOINING = 5
    """It is to follow another one; the fact that says so is not yet in the log."""


class Item(msgspec.Struct, array_like=True, eq=False, gc=False):
    """One gated execution that is not final.

    `n` and `sequence` are of its last fact, `rank` and `arrival` its place among others, `admitted` the log position of
    its last admission (0: none yet; -1: decided, and not yet in the log).
    """

    id: str
    n: int
    sequence: int
    priority: int
    rank: int = 0
    arrival: int = 0
    status: Status = Status.AWAY
    admitted: int = 0
    retains: bool = False
    """True while it keeps its own limit's slot through a backoff or a wait (fifo)."""
    asked: bool = False
    """True once its cancellation was asked for."""
    reason: str = ""
    called_off: bool = False
    """Dropped as `cancelled` instead of `discarded`."""
    gathering: int = 0
    """The number of the gathering that it is in."""
    weight: int = 0
    """Bytes of its arguments."""
    followers: int = 0
    is_batch: bool = False
    taken: int = 0
    """When it was last admitted or decided to be (µs)."""
    _line: Any = None
    """Its line; what a snapshot holds is all but this and `taken`."""

    @property
    def line(self) -> "Line":
        """The line that it belongs to from its making on."""
        found: Line = self._line
        return found

    def join(self, line: "Line") -> None:
        """Belong to this line."""
        self._line = line
        line.members[self.id] = self


_Entry = tuple[int, int, Item]


def rank_of(at: int, priority: int) -> int:
    """Place in a line: the time it came in (µs), moved by its priority."""
    return at - priority * PRIORITY_US


def came_at(item: Item) -> int:
    """When it came in (µs)."""
    return item.rank + item.priority * PRIORITY_US


class Line:
    """The waiting executions of one function with the same keys."""

    __slots__ = ("awake", "entry", "function", "gate", "gates", "heap", "keys", "members", "queue", "turn_key")

    def __init__(self, function: str, keys: dict[str, str], gates: list[Gate], turn_key: str | None) -> None:
        self.function = function
        self.keys = keys
        self.gates = gates
        self.turn_key = turn_key
        self.queue: deque[_Entry] = deque()
        """What came in order, as almost all does: however long it is, both ends are at hand."""
        self.heap: list[_Entry] = []
        """What goes before something that was there already."""
        self.members: dict[str, Item] = {}
        self.awake = False
        self.gate: Gate | None = None
        """The gate that it is parked at."""
        self.entry: Order | None = None
        """Its place in the heap of the awake or of the gate; any other entry found there is out of date."""

    def push(self, item: Item) -> None:
        entry = (item.rank, item.arrival, item)
        if not self.queue or self.queue[-1][:2] < entry[:2]:
            self.queue.append(entry)
        else:
            heappush(self.heap, entry)

    def head(self) -> Item | None:
        """The first that waits."""
        queue, heap = self.queue, self.heap
        while queue and not _waits(queue[0]):
            queue.popleft()
        while heap and not _waits(heap[0]):
            heappop(heap)
        if not heap:
            return queue[0][2] if queue else None
        return heap[0][2] if not queue or heap[0][:2] < queue[0][:2] else queue[0][2]

    def ahead_of(self, item: Item) -> int:
        """How many of this line go before it."""
        place = (item.rank, item.arrival)
        waiting = (each for each in self.members.values() if each.status is Status.WAITING)
        return sum((each.rank, each.arrival) < place for each in waiting)


def _waits(entry: _Entry) -> bool:
    """False for an entry that its execution has left behind."""
    rank, arrival, item = entry
    return item.status is Status.WAITING and item.rank == rank and item.arrival == arrival
