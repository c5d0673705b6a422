"""The decision: which waiting executions start now, which are discarded, which have to make way.

Between functions the one with the fewest slots goes first (max-min fairness), then the one that waited longest; inside
a function the order is turn, rank, arrival. The cost of one admission does not depend on how many wait.
"""

from heapq import heappop, heapreplace
from typing import NamedTuple

from penstock.domain.flow.arrival import to_cancel
from penstock.domain.flow.gates import Gate
from penstock.domain.flow.lines import Item, Status
from penstock.domain.flow.state import FlowState
from penstock.domain.flow.windows import sound_alarms


class _Undo(NamedTuple):
    item: Item
    retained: bool
    admitted: int
    turn: int
    turns: int


class Decision(NamedTuple):
    """What follows from the log up to `seen` at the time `at` (µs)."""

    at: int
    seen: int
    admitted: list[Item]
    discarded: list[Item]
    cancelled: list[Item]
    """Running; they are asked to stop, each by a fact of its own."""
    undo: list[_Undo]

    @property
    def size(self) -> int:
        """Facts in the batch behind its head."""
        return len(self.admitted) + len(self.discarded)


def decide(state: FlowState, now: int, limit: int) -> Decision:
    """Decide on up to `limit` executions, and take the slots at once: append the facts, or `revert`."""
    sound_alarms(state, now)
    discarded = [dropped for dropped, _ in zip(state.dropping.values(), range(limit), strict=False)]
    for dropped in discarded:
        del state.dropping[dropped.id]
    cancelled = to_cancel(state)
    for running in cancelled:
        running.asked = True
    decision = Decision(now, state.position, [], discarded, cancelled, [])
    while decision.size < limit:
        item = _next(state, now)
        if item is None:
            break
        lines = state.functions[item.line.function]
        turns = lines.turns.get(item.line.turn_key, 0) if item.line.turn_key is not None else 0
        decision.undo.append(_Undo(item, item.retains, item.admitted, lines.turn, turns))
        state.take(item, now)
        decision.admitted.append(item)
    return decision


def revert(state: FlowState, decision: Decision) -> None:
    """The batch was refused: everything is as if it had not been decided."""
    for item in decision.discarded:
        if item.id in state.items and item.status is Status.DROPPED:
            state.dropping[item.id] = item
    for item in decision.cancelled:
        item.asked = False
        state.press(item.line.gates[0], state.functions[item.line.function])
    for undo in reversed(decision.undo):
        item = undo.item
        lines = state.functions[item.line.function]
        if item.admitted != undo.admitted:
            # The log has an admission of it after all.
            continue
        if item.line.turn_key in lines.turns and item.line.turn_key is not None:
            lines.turn, lines.turns[item.line.turn_key] = undo.turn, undo.turns
        if state.items.get(item.id) is not item or item.status is not Status.HOLDING:
            continue
        state.release(item, decision.at, undo.retained)
        if not item.admitted:
            for gate in item.line.gates:
                if gate.rule.period:
                    gate.unpassed(decision.at)
        state.enter(item)
    for name in {undo.item.line.function for undo in decision.undo}:
        lines = state.functions[name]
        for line in lines.lines.values():
            gate = line.gates[0]
            gate.waiting = dict.fromkeys(sorted(gate.waiting, key=lambda each: state.items[each].arrival))
            lines.wake(line)
        state.list_function(lines)


def opens_at(state: FlowState) -> int | None:
    """When something may be decided although no fact comes (µs; 0: now); None: never."""
    if state.dropping:
        return 0
    return state.alarms[0][0] if state.alarms else None


def _next(state: FlowState, now: int) -> Item | None:
    """The execution that goes first of all those whose limits have room."""
    n = state.environment.n
    if state.is_paused or (n is not None and len(state.held) >= n):
        return None
    choices = state.choices
    while choices:
        place = choices[0]
        lines = state.functions[place[3]]
        if lines.listed != place:
            heappop(choices)
            continue
        parked: list[Gate] = []
        item = None if lines.is_paused else lines.first(now, parked)
        for gate in parked:
            if gate.rule.period:
                state.alarm(gate)
        current = lines.place() if item is not None else None
        if current is None:
            lines.listed = None
            heappop(choices)
            continue
        if current != place:
            lines.listed = current
            heapreplace(choices, current)
            continue
        return item
    return None
