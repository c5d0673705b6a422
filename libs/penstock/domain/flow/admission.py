"""The decision: which waiting executions start now, which are discarded, which have to make way.

Between functions the one with the fewest slots goes first (max-min fairness), then the one that waited longest; inside
a function the order is turn, rank, arrival. The cost of one admission does not depend on how many wait.
"""

from heapq import heappop, heapreplace
from typing import NamedTuple

from penstock.domain.execution.facts import Admitted, Cancelled, Discarded
from penstock.domain.flow.arrival import to_cancel
from penstock.domain.flow.gates import Gate
from penstock.domain.flow.joins import Entry, closing
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
    joined: list[Entry]
    """Gatherings that are over."""
    admitted: list[Item]
    discarded: list[Item]
    cancelled: list[Item]
    """Running; they are asked to stop, each by a fact of its own."""
    undo: list[_Undo]

    @property
    def size(self) -> int:
        """Facts in the batch behind its head."""
        return sum(len(each.facts) for each in self.joined) + len(self.admitted) + len(self.discarded)

    def entries(self) -> list[Entry]:
        """The batch behind its head."""
        found = list(self.joined)
        for item in self.admitted:
            fact = Admitted(n=item.n + 1, at=self.at)
            found.append(Entry(item.id, item.line.function, item.sequence, [fact]))
        for item in self.discarded:
            kind = Cancelled if item.called_off else Discarded
            dropped = kind(n=item.n + 1, at=self.at, reason=item.reason)
            found.append(Entry(item.id, item.line.function, item.sequence, [dropped]))
        return found


def decide(state: FlowState, now: int, limit: int) -> Decision:
    """Decide in up to `limit` facts, and take the slots at once: append the facts, or `revert`.

    One gathering may go beyond the limit, if nothing else is decided with it.
    """
    sound_alarms(state, now)
    discarded = [dropped for dropped, _ in zip(state.dropping.values(), range(limit), strict=False)]
    for dropped in discarded:
        del state.dropping[dropped.id]
    cancelled = to_cancel(state)
    for running in cancelled:
        running.asked = True
    joined, facts = closing(state, now, limit - len(discarded), not discarded)
    decision = Decision(now, state.position, joined, [], discarded, cancelled, [])
    left = limit - len(discarded) - facts
    while len(decision.admitted) < left:
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
    dropped = [each for each in decision.discarded if each.id in state.items and each.status is Status.DROPPED]
    state.put_down(dropped)
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
    if state.dropping or state.singles.joining:
        return 0
    times = [state.gatherings.next_due(), state.alarms[0][0] if state.alarms else None]
    return min((at for at in times if at is not None), default=None)


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
