"""The lines of one function: those that may have room, those parked at a full gate, and whose turn it is.

Invariant: of the lines parked at a gate with room, none comes before all awake lines of that gate. So the first line
with room is found among the awake ones, and each look costs the same however many wait.
"""

from heapq import heappop, heappush, heapreplace

from penstock.domain.flow.gates import Gate, Order, Rule
from penstock.domain.flow.limits import ROUND_ROBIN, FlowOptions
from penstock.domain.flow.lines import Item, Line


class FunctionLines:
    """All lines of one function."""

    __slots__ = (
        "concurrency", "flow", "held", "is_paused", "lines", "listed", "name", "paused_keys", "ready", "slots",
        "turn", "turn_lines", "turns",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.flow = FlowOptions()
        self.concurrency: int | None = None
        self.slots: list[tuple[str, Rule]] = []
        """(label of the key, rule) of each limit that must have room; the function's own comes first."""
        self.lines: dict[tuple[tuple[str, str], ...], Line] = {}
        self.ready: list[tuple[Order, Line]] = []
        self.held: dict[str, None] = {}
        """Executions with slots, gated or not."""
        self.is_paused = False
        self.paused_keys: set[str] = set()
        self.turn = 0
        self.turns: dict[str, int] = {}
        """Round-robin key -> its next turn."""
        self.turn_lines: dict[str, int] = {}
        """Round-robin key -> how many lines have it."""
        self.listed: tuple[int, int, int, str] | None = None

    def order(self, line: Line, head: Item) -> Order:
        """The place of a line with this head among the lines of the function."""
        turn = 0 if line.turn_key is None else self.turns.get(line.turn_key, 0)
        return (turn, head.rank, head.arrival)

    def place(self) -> tuple[int, int, int, str] | None:
        """What this function has to offer, for the choice between functions: the fewest slots first, then the oldest.

        It may be too good, never too bad: lines in front may turn out to be blocked.
        """
        if not self.ready or self.is_paused:
            return None
        if self.flow.round_robin is not None:
            return (len(self.held), 0, 0, self.name)
        first = self.ready[0][0]
        return (len(self.held), first[1], first[2], self.name)

    def comes_first(self, item: Item) -> bool:
        """False for one that queues up behind others in a parked line: nothing changes for that line then."""
        line = item.line
        if line.gate is None or line.entry is None or item.retains:
            return True
        head = line.head()
        return head is not None and self.order(line, head) < line.entry

    def wake(self, line: Line) -> None:
        """Look at this line again."""
        head = line.head()
        if head is None:
            return
        order = self.order(line, head)
        if line.awake and line.entry is not None and line.entry <= order:
            return
        line.awake, line.gate, line.entry = True, None, order
        heappush(self.ready, (order, line))

    def wake_best(self, gate: Gate) -> None:
        """Look again at the first of the lines parked at this gate."""
        heap = gate.parked.get(self.name)
        while heap:
            entry, line = heap[0]
            if line.gate is not gate or line.entry != entry:
                heappop(heap)
                continue
            head = line.head()
            if head is None:
                heappop(heap)
                line.gate = line.entry = None
                continue
            order = self.order(line, head)
            if order != entry:
                line.entry = order
                heapreplace(heap, (order, line))
                continue
            heappop(heap)
            self.wake(line)
            break
        if not heap:
            gate.parked.pop(self.name, None)

    def wake_others(self, line: Line, now: int) -> None:
        """This line fell back or went away: the next at each of its gates may come before it now."""
        for gate in line.gates:
            if gate is not line.gate and self.name in gate.parked and gate.has_room(now):
                self.wake_best(gate)

    def first(self, now: int, parked: list[Gate]) -> Item | None:
        """The first waiting execution whose limits all have room; gates at which lines were parked go into `parked`."""
        ready = self.ready
        while ready:
            entry, line = ready[0]
            if not line.awake or line.entry != entry:
                heappop(ready)
                continue
            head = line.head()
            if head is None:
                heappop(ready)
                line.awake, line.entry = False, None
                self.wake_others(line, now)
                continue
            order = self.order(line, head)
            if order != entry:
                line.entry = order
                heapreplace(ready, (order, line))
                self.wake_others(line, now)
                continue
            if self._is_key_paused(line):
                heappop(ready)
                line.awake, line.entry = False, None
                self.wake_others(line, now)
                continue
            gate = blocking(line, head, now)
            if gate is None:
                return head
            heappop(ready)
            self.park(line, order, gate, now)
            parked.append(gate)
        return None

    def park(self, line: Line, order: Order, gate: Gate, now: int) -> None:
        line.awake, line.gate, line.entry = False, gate, order
        heappush(gate.parked.setdefault(self.name, []), (order, line))
        self.wake_others(line, now)

    def take_turn(self, line: Line) -> None:
        """One of this line was admitted: its key goes behind the keys that wait."""
        if line.turn_key is not None:
            self.turn = max(self.turn, self.turns.get(line.turn_key, 0))
            self.turns[line.turn_key] = self.turn + 1

    def enter_turns(self, line: Line) -> None:
        """A key that had nothing to do comes in at the present turn: idleness saves up no advantage."""
        if line.turn_key is not None:
            self.turns.setdefault(line.turn_key, self.turn)
            self.turn_lines[line.turn_key] = self.turn_lines.get(line.turn_key, 0) + 1

    def leave_turns(self, line: Line) -> None:
        """Forget the turn of a key without executions."""
        if line.turn_key is not None:
            self.turn_lines[line.turn_key] -= 1
            if not self.turn_lines[line.turn_key]:
                del self.turn_lines[line.turn_key]
                del self.turns[line.turn_key]

    def _is_key_paused(self, line: Line) -> bool:
        return bool(self.paused_keys) and line.keys.get("concurrency", "") in self.paused_keys


def blocking(line: Line, head: Item, now: int) -> Gate | None:
    """The first gate without room for the head of the line."""
    for gate in line.gates:
        if not gate.has_room(now, head.id):
            return gate
    return None


def turn_key_of(flow: FlowOptions, keys: dict[str, str]) -> str | None:
    return keys.get(ROUND_ROBIN, "") if flow.round_robin is not None else None
