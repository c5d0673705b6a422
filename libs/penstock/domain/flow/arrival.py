"""What happens to an execution that comes in: the rate limit, and what its function wants done at its limit.

Both are settled by the fold, in log order, so that every reader of the log comes to the same verdict.
"""

from heapq import heappop, heappush

from penstock.domain.flow.gates import ANY_TIME, Gate
from penstock.domain.flow.limits import RATE_LIMIT, rate_rule
from penstock.domain.flow.lines import Item, Status, rank_of
from penstock.domain.flow.state import FlowState


def arrive(state: FlowState, item: Item, sequence: int, at: int) -> None:
    """The execution may run as far as time goes; `sequence` is the fact that says so."""
    state.clock = max(state.clock, at)
    item.arrival = sequence
    item.rank = rank_of(state.clock, item.priority)
    if not _passes_rate(state, item):
        return
    lines = state.functions[item.line.function]
    gate = item.line.gates[0]
    if lines.flow.at_limit == "reject_newest" and is_full(gate):
        drop(state, item, f"{limit_text(gate)} was used up, and the newest is rejected.")
        return
    state.enter(item)
    if lines.flow.at_limit == "keep_newest":
        _keep_newest(state, gate)
    state.press(gate, lines)


def is_full(gate: Gate) -> bool:
    """True if what runs and what waits already takes all slots."""
    n = gate.rule.n
    return n is not None and len(gate.holders.keys() | gate.waiting.keys()) >= n


def drop(state: FlowState, item: Item, reason: str) -> None:
    """The execution is to be discarded."""
    item.status, item.reason = Status.DROPPED, reason
    state.dropping[item.id] = item


def to_cancel(state: FlowState) -> list[Item]:
    """Running executions that have to make way, oldest first; each is asked once."""
    found: list[Item] = []
    for gate in state.pressed.values():
        n = gate.rule.n
        if n is None:
            continue
        running = [state.items[each] for each in gate.holders if each not in gate.waiting]
        missing = len(gate.waiting) - (n - len(gate.holders)) - sum(each.asked for each in running)
        found += [each for each in running if not each.asked][: max(missing, 0)]
    state.pressed.clear()
    return found


def limit_text(gate: Gate) -> str:
    """A limit as users know it."""
    key = f" for key {gate.key!r}" if gate.key else ""
    target = gate.rule.target
    names = {"function": "the concurrency of", "limit": "the shared limit", "throttle": "the throttle of"}
    kind, _, name = target.partition(":")
    what = "the rate limit of" if kind == RATE_LIMIT else names[kind]
    name, _, number = name.partition(":")
    if number:
        what = f"limit {int(number) + 1} of"
    period = f" in {gate.rule.period / 1e6:g} s" if gate.rule.period else ""
    return f"{what} {name}{key} ({gate.rule.n}{period})"


def _passes_rate(state: FlowState, item: Item) -> bool:
    spec = rate_rule(item.line.function, state.functions[item.line.function].flow)
    if spec is None:
        return True
    while state.fading and state.fading[0][0] <= state.clock:
        _, target, key = heappop(state.fading)
        over = state.gates.get((target, key))
        if over is not None and over.is_idle(state.clock):
            del state.gates[target, key]
    gate = state.gate(state.rules[spec.target], item.line.keys.get(RATE_LIMIT, ""))
    if not gate.has_room(state.clock):
        drop(state, item, f"{limit_text(gate)} was used up.")
        return False
    gate.passed(state.clock)
    heappush(state.fading, (state.clock + gate.rule.period, gate.rule.target, gate.key))
    return True


def _keep_newest(state: FlowState, gate: Gate) -> None:
    n = gate.rule.n
    if n is None:
        return
    # What has run before goes on. The first of the others may still get free slots; of the rest only the newest stays.
    fresh = [each for each in gate.waiting if not state.items[each].admitted]
    free = max(0, n - len(gate.holders) - (len(gate.waiting) - len(fresh)))
    for execution_id in fresh[free:-1]:
        item = state.items[execution_id]
        del gate.waiting[execution_id]
        lines = state.functions[item.line.function]
        drop(state, item, f"{limit_text(gate)} was used up, and a newer one came.")
        lines.wake_others(item.line, ANY_TIME)
