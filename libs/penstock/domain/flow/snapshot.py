"""The state as plain values, and back: what a scheduler that starts anew reads instead of the whole log.

Only what facts have told is kept; what is found again by looking (which line is blocked where) is not. Two states that
came from the same facts have the same snapshot, whatever was decided in between.
"""

from collections.abc import Iterator
from heapq import heappush
from operator import itemgetter

import msgspec

from penstock.domain.flow.gates import Gate
from penstock.domain.flow.gatherings import Gathering, Kind
from penstock.domain.flow.limits import RATE_LIMIT, FlowOptions
from penstock.domain.flow.lines import Item, Status
from penstock.domain.flow.state import FlowState

CHUNK_LINES = 10_000
CHUNK_ITEMS = 20_000


class Head(msgspec.Struct, array_like=True):
    """The first chunk: everything but lines."""

    position: int
    lane: int
    clock: int
    decided_at: int
    is_paused: bool
    rules: list[tuple[str, str, int | None, int | None, int]]
    """(target, label, declared, changed, period)"""
    functions: list["FunctionRow"]
    ungated: list[tuple[str, str]]
    windows: list[tuple[str, str, list[int]]]
    gatherings: list["GatheringRow"]
    leaders: list[tuple[str, str, str]]
    """(function, key, execution) of singletons."""


class FunctionRow(msgspec.Struct, array_like=True):
    name: str
    concurrency: int | None
    flow: FlowOptions
    is_paused: bool
    paused_keys: list[str]
    turn: int
    turns: list[tuple[str, int]]


class GatheringRow(msgspec.Struct, array_like=True):
    kind: Kind
    function: str
    key: str
    number: int
    opened: int
    due: int
    leader: str
    is_open: bool


ItemRow = tuple[str, int, int, int, int, int, int, int, bool, bool, str, int, int, int, bool]
"""The fields of an item, in its order."""


class LineRows(msgspec.Struct, array_like=True):
    """Some executions of one line, those that wait in order, as they are written."""

    function: str
    keys: dict[str, str]
    items: list[ItemRow]


class LineItems(msgspec.Struct, array_like=True):
    """The same as they are read: made into items by msgspec, since there are many."""

    function: str
    keys: dict[str, str]
    items: list[Item]


_encoder = msgspec.msgpack.Encoder()
_head = msgspec.msgpack.Decoder(Head)
_lines = msgspec.msgpack.Decoder(list[LineItems])


def dump(state: FlowState) -> Iterator[bytes]:
    """The snapshot in chunks. Between two of them the state may not change."""
    yield _encoder.encode(_head_of(state))
    rows: list[LineRows] = []
    size = 0
    for name in sorted(state.functions):
        lines = state.functions[name].lines
        for index in sorted(lines):
            line = lines[index]
            found = (_row(item) for item in line.members.values())
            items = sorted(found, key=itemgetter(4, 5, 0))
            for start in range(0, len(items), CHUNK_ITEMS):
                part = items[start : start + CHUNK_ITEMS]
                rows.append(LineRows(name, line.keys, part))
                size += len(part)
                if size >= CHUNK_ITEMS or len(rows) >= CHUNK_LINES:
                    yield _encoder.encode(rows)
                    rows, size = [], 0
    if rows:
        yield _encoder.encode(rows)


class Restoring:
    """A state being read from its chunks."""

    def __init__(self, first: bytes) -> None:
        head = _head.decode(first)
        self.state = state = FlowState()
        state.position, state.lane, state.clock = head.position, head.lane, head.clock
        state.decided_at, state.is_paused = head.decided_at, head.is_paused
        for row in head.functions:
            lines = state.function(row.name)
            lines.concurrency, lines.flow, lines.is_paused = row.concurrency, row.flow, row.is_paused
            lines.paused_keys, lines.turn, lines.turns = set(row.paused_keys), row.turn, dict(row.turns)
        for target, label, declared, changed, period in head.rules:
            rule = state.rules[target] if target in state.rules else state.declared_rule(target, label)
            rule.label, rule.declared, rule.changed, rule.period = label, declared, changed, period
        for execution_id, function in head.ungated:
            state.ungated[execution_id] = function
            state.function(function).held[execution_id] = None
            state.held[execution_id] = None
        for target, key, recent in head.windows:
            gate = state.gate(state.rules[target], key)
            gate.recent.extend(recent)
            heap = state.fading if gate.rule.label == RATE_LIMIT else state.spent
            heappush(heap, (recent[-1] + gate.rule.period, target, key))
        for each in head.gatherings:
            found = Gathering(each.kind, (each.function, each.key), each.number, each.opened)
            found.due, found.leader = each.due, each.leader
            state.gatherings.restore(found, each.is_open)
        state.singles.leaders = {(function, key): leader for function, key, leader in head.leaders}
        self._holding: list[Item] = []
        self._dropped: list[Item] = []
        self._together: list[Item] = []
        """Those that wait with others, or are about to follow one."""

    def add(self, chunk: bytes) -> None:
        """One more chunk."""
        state, items = self.state, self.state.items
        for rows in _lines.decode(chunk):
            line = state.line(rows.function, rows.keys)
            for item in rows.items:
                items[item.id] = item
                item.join(line)
                if item.status is Status.WAITING:
                    line.queue.append((item.rank, item.arrival, item))
                elif item.status is Status.DROPPED:
                    self._dropped.append(item)
                elif item.status in (Status.GATHERING, Status.JOINING):
                    self._together.append(item)
                if item.status is Status.HOLDING or item.retains:
                    self._holding.append(item)

    def finish(self) -> FlowState:
        """The state, ready to decide."""
        state = self.state
        for item in sorted(self._holding, key=lambda each: each.admitted):
            state.hold_again(item)
        state.put_down(sorted(self._dropped, key=lambda each: each.arrival))
        for item in sorted(self._together, key=lambda each: each.arrival):
            if item.status is Status.GATHERING:
                state.gatherings.all[item.gathering].add(item)
            elif (leader := state.singles.leader_of(item)) is not None:
                state.singles.join(item, leader)
        for lines in state.functions.values():
            for line in lines.lines.values():
                if lines.flow.at_limit != "queue":
                    waiting = sorted(line.queue, key=lambda entry: entry[1])
                    line.gates[0].waiting.update((entry[2].id, None) for entry in waiting)
                    state.press(line.gates[0], lines)
                lines.wake(line)
            state.list_function(lines)
        return state


def _head_of(state: FlowState) -> Head:
    windows = [
        (gate.rule.target, gate.key, [at for at in gate.recent if at + gate.rule.period > _clock_of(state, gate)])
        for gate in state.gates.values()
        if gate.rule.period
    ]
    return Head(
        position=state.position,
        lane=state.lane,
        clock=state.clock,
        decided_at=state.decided_at,
        is_paused=state.is_paused,
        rules=sorted(
            ((rule.target, rule.label, rule.declared, rule.changed, rule.period) for rule in state.rules.values()),
            key=lambda row: row[0],
        ),
        functions=[
            FunctionRow(
                name, lines.concurrency, lines.flow, lines.is_paused, sorted(lines.paused_keys), lines.turn,
                sorted(lines.turns.items()),
            )
            for name, lines in sorted(state.functions.items())
        ],
        ungated=sorted(state.ungated.items()),
        windows=sorted((row for row in windows if row[2]), key=lambda row: row[:2]),
        gatherings=[
            GatheringRow(
                each.kind, *each.place, number, each.opened, each.due, each.leader,
                state.gatherings.open.get(each.place) is each,
            )
            for number, each in sorted(state.gatherings.all.items())
        ],
        leaders=sorted((*place, leader) for place, leader in state.singles.leaders.items()),
    )  # fmt: skip


def _clock_of(state: FlowState, gate: Gate) -> int:
    return state.clock if gate.rule.label == RATE_LIMIT else state.decided_at


def _row(item: Item) -> ItemRow:
    return (
        item.id, item.n, item.sequence, item.priority, item.rank, item.arrival, int(item.status), item.admitted,
        item.retains, item.asked, item.reason, item.gathering, item.weight, item.followers, item.is_batch,
    )  # fmt: skip
