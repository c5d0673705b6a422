"""The state as plain values, and back: what a scheduler that starts anew reads instead of the whole log.

Only what facts have told is kept; what is found again by looking (which line is blocked where) is not. Two states that
came from the same facts have the same snapshot, whatever was decided in between. Executions are written field by field
in columns: read row by row, a million of them would take half as long again.

A new field of `Item` is in the snapshot by itself; one of the state or of a function belongs into `Head`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappush
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec

from penstock.domain.flow.gates import Gate
from penstock.domain.flow.gatherings import Gathering, Kind
from penstock.domain.flow.limits import RATE_LIMIT, FlowOptions
from penstock.domain.flow.lines import Item, Line, Status
from penstock.domain.flow.state import FlowState

CHUNK_ITEMS = 2000
"""Small enough for the caches of a processor: with ten times as many, writing takes twice as long."""

_UNSAVED = ("taken", "_line")
"""Fields of an execution that the log does not tell, or that its line tells."""
_COLUMNS = tuple(name for name in Item.__struct_fields__ if name not in _UNSAVED)
_READS = tuple(attrgetter(name) for name in _COLUMNS)
_STATUS = tuple(Status)
_ORDER = attrgetter("rank", "arrival", "id")


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


class Chunk(msgspec.Struct, array_like=True):
    """Executions of some lines, line after line, those that wait in order."""

    lines: list[tuple[str, dict[str, str], int]]
    """(function, keys, how many of the executions that follow stand in it)"""
    columns: list[list[Any]]
    """One value for each execution, or a single one that all have."""


_encoder = msgspec.msgpack.Encoder()
_head = msgspec.msgpack.Decoder(Head)
_chunk = msgspec.msgpack.Decoder(Chunk)


def dump(state: FlowState) -> Iterator[bytes]:
    """The snapshot in chunks. Between two of them the state may not change."""
    yield _encoder.encode(_head_of(state))
    lines: list[tuple[str, dict[str, str], int]] = []
    items: list[Item] = []
    for name in sorted(state.functions):
        found = state.functions[name].lines
        for index in sorted(found):
            members = sorted(found[index].members.values(), key=_ORDER)
            for start in range(0, len(members), CHUNK_ITEMS):
                part = members[start : start + CHUNK_ITEMS]
                lines.append((name, found[index].keys, len(part)))
                items += part
                if len(items) >= CHUNK_ITEMS:
                    yield _encoder.encode(Chunk(lines, [_column(items, read) for read in _READS]))
                    lines, items = [], []
    if items:
        yield _encoder.encode(Chunk(lines, [_column(items, read) for read in _READS]))


def _column(items: list[Item], read: Callable[[Item], Any]) -> list[Any]:
    values = list(map(read, items))
    return values[:1] if values.count(values[0]) == len(values) else values


class Restoring:
    """A state being read from its chunks."""

    def __init__(self, first: bytes) -> None:
        head = _head.decode(first)
        self.state = state = FlowState()
        state.position, state.lane, state.clock = head.position, head.lane, head.clock
        state.decided_at, state.is_paused = head.decided_at, head.is_paused
        for row in head.functions:
            state.declare(row.name, row.concurrency, row.flow)
            lines = state.functions[row.name]
            lines.is_paused = row.is_paused
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
            gate.recent = deque(recent)
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

    def add(self, data: bytes) -> None:
        """One more chunk."""
        state, chunk = self.state, _chunk.decode(data)
        lines = [(state.line(function, keys), count) for function, keys, count in chunk.lines]
        columns = _filled(dict(zip(_COLUMNS, chunk.columns, strict=True)), lines)
        items = list(map(Item, *(columns[name] for name in Item.__struct_fields__)))
        state.items.update(zip(columns["id"], items, strict=True))
        members = zip(columns["id"], items, strict=True)
        entries = zip(columns["rank"], columns["arrival"], items, strict=True)
        all_wait = set(columns["status"]) == {Status.WAITING}
        for line, count in lines:
            line.members.update(islice(members, count))
            part = islice(entries, count)
            line.queue.extend(part if all_wait else [entry for entry in part if entry[2].status is Status.WAITING])
        if not all_wait or any(columns["retains"]):
            self._holding += [item for item in items if item.status is Status.HOLDING or item.retains]
            self._dropped += [item for item in items if item.status is Status.DROPPED]
            self._together += [item for item in items if item.status in (Status.GATHERING, Status.JOINING)]

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


def _filled(columns: dict[str, list[Any]], lines: list[tuple[Line, int]]) -> dict[str, list[Any]]:
    """The columns at full length, and those that are not saved."""
    size = sum(count for _, count in lines)
    columns["status"] = [_STATUS[number] for number in columns["status"]]
    columns["_line"] = [line for line, count in lines for _ in range(count)]
    columns["taken"] = [0]
    return {name: column if len(column) == size else column * size for name, column in columns.items()}
