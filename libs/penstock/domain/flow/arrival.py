"""What happens to an execution that comes in: does it wait with others, follow another, or queue up; the rate limit,
and what its function wants done at its limit.

All is settled by the fold, in log order, so that every reader of the log comes to the same verdict.
"""

from collections.abc import Sequence
from heapq import heappop, heappush

from penstock.domain.flow.gates import ANY_TIME, Gate
from penstock.domain.flow.limits import RATE_LIMIT, FlowOptions, rate_rule
from penstock.domain.flow.lines import Item, Status, rank_of
from penstock.domain.flow.state import FlowState
from penstock.domain.limits import followers_max


def arrive(state: FlowState, item: Item, sequence: int, at: int) -> None:
    """The execution may run as far as time goes; `sequence` is the fact that says so."""
    state.clock = max(state.clock, at)
    item.arrival = sequence
    item.rank = rank_of(state.clock, item.priority)
    _sort_in(state, item)


def queue_up(state: FlowState, item: Item, sequence: int, at: int) -> None:
    """The execution waited with others, and is the one that runs for them."""
    lead(state, item)
    state.gatherings.leave(item)
    state.clock = max(state.clock, at)
    item.arrival = sequence
    item.rank = rank_of(state.clock, item.priority)
    _line_up(state, item)


def lead(state: FlowState, item: Item) -> bool:
    """The execution is the one that runs for those who wait with it; True if it waits with any. Nobody else joins."""
    gathering = state.gatherings.all.get(item.gathering)
    if gathering is None:
        return False
    late = [each for each in gathering.items.values() if each.arrival > item.arrival]
    state.gatherings.split(gathering, late, state.functions[item.line.function].flow)
    gathering.leader = item.id
    state.gatherings.close(gathering)
    return True


def collected(state: FlowState, members: Sequence[str]) -> None:
    """A batch was made of these executions: those that came meanwhile wait for the next."""
    first = next((state.items[each] for each in members if each in state.items), None)
    gathering = state.gatherings.all.get(first.gathering) if first is not None else None
    if first is not None and gathering is not None:
        among = set(members)
        late = [each for each in gathering.items.values() if each.id not in among]
        state.gatherings.split(gathering, late, state.functions[first.line.function].flow)


def step_down(state: FlowState, item: Item) -> None:
    """The execution is final or put off: of those that were about to follow it the first leads now."""
    if state.singles.leaders:
        for each in state.singles.step_down(item):
            _sort_in(state, each)


def sort_in_again(state: FlowState, name: str, before: FlowOptions) -> None:
    """Other options than before hold for the function: what waits with others or was about to follow arrives anew."""
    flow = state.functions[name].flow
    found: list[Item] = []
    if (flow.debounce, flow.batch) != (before.debounce, before.batch):
        found += state.gatherings.dissolve(name)
    if (flow.singleton, flow.singleton_key) != (before.singleton, before.singleton_key):
        found += state.singles.dissolve(name)
    for item in found:
        _sort_in(state, item)


def _sort_in(state: FlowState, item: Item) -> None:
    flow = state.functions[item.line.function].flow
    if (flow.debounce is not None or flow.batch is not None) and not item.is_batch:
        state.gatherings.gather(item, flow, state.clock)
    elif flow.singleton is None:
        _line_up(state, item)
    elif (leader := state.singles.leader_of(item)) is None:
        _line_up(state, item)
        if item.status is not Status.DROPPED:
            state.singles.lead(item)
    elif flow.singleton == "drop":
        drop(state, item, f"Execution {leader} of the same function and key had not ended.")
    else:
        _follow(state, item, leader)


def _follow(state: FlowState, item: Item, leader: str) -> None:
    waiting = len(state.singles.joining.get(leader, ()))
    if state.items[leader].followers + waiting >= followers_max:
        drop(state, item, f"{followers_max} executions follow {leader} already.")
    else:
        state.singles.join(item, leader)


def _line_up(state: FlowState, item: Item) -> None:
    if not _passes_rate(state, item):
        return
    lines = state.functions[item.line.function]
    gate = item.line.gates[0]
    if lines.flow.at_limit in ("reject_newest", "cancel_newest") and is_full(gate):
        item.called_off = lines.flow.at_limit == "cancel_newest"
        verb = "cancelled" if item.called_off else "rejected"
        drop(state, item, f"{limit_text(gate)} was used up, and the newest is {verb}.")
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
    """The execution is to be discarded, or cancelled if it is `called_off`."""
    item.status, item.reason = Status.DROPPED, reason
    state.put_down([item])


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
    gate.passed(state.clock, state.clock)
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
