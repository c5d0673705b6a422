"""What flow control knows: every gated execution that is not final, every limit, every slot. Changed only by facts.

A decision takes its slots at once, so that the next one sees them; the `admitted` fact confirms it, or it is reverted.
"""

from collections.abc import Sequence
from heapq import heappush

from penstock.domain.flow.functions import FunctionLines, turn_key_of
from penstock.domain.flow.gates import ANY_TIME, Gate, Rule
from penstock.domain.flow.gatherings import Gatherings
from penstock.domain.flow.limits import (
    CONCURRENCY,
    ENVIRONMENT,
    FlowOptions,
    RuleSpec,
    rate_rule,
    slot_rules,
)
from penstock.domain.flow.lines import Item, Line, Status
from penstock.domain.flow.singles import Singles


class FlowState:
    """The state of one environment. `position` is the log sequence up to which it was folded."""

    def __init__(self) -> None:
        self.position = 0
        self.lane = 0
        """Log position of the last admission batch."""
        self.clock = 0
        """The latest time that an arriving execution has told (µs): the order of ranks is the order of the log."""
        self.decided_at = 0
        """When the last admission batch was decided (µs)."""
        self.environment = Rule(ENVIRONMENT, ENVIRONMENT)
        self.is_paused = False
        self.functions: dict[str, FunctionLines] = {}
        self.rules: dict[str, Rule] = {ENVIRONMENT: self.environment}
        self.gates: dict[tuple[str, str], Gate] = {}
        self.items: dict[str, Item] = {}
        self.ungated: dict[str, str] = {}
        """Running executions that needed no admission -> their function: they hold slots all the same."""
        self.held: dict[str, None] = {}
        self.dropping: dict[str, Item] = {}
        """To be discarded, in order of arrival."""
        self.pressed: dict[tuple[str, str], Gate] = {}
        """Gates whose policy may want to cancel what runs."""
        self.choices: list[tuple[int, int, int, str]] = []
        self.alarms: list[tuple[int, str, str]] = []
        """(time, target, key) of throttles at which lines are parked: they open by themselves."""
        self.spent: list[tuple[int, str, str]] = []
        """The same of throttles without lines, to be forgotten when their window is over."""
        self.fading: list[tuple[int, str, str]] = []
        """The same for rate limits, which know only the clock of arriving executions."""
        self.gatherings = Gatherings()
        self.singles = Singles()

    # Functions and their limits.

    def function(self, name: str) -> FunctionLines:
        found = self.functions.get(name)
        if found is None:
            found = self.functions[name] = FunctionLines(name)
            found.slots = [(CONCURRENCY, self.rule(RuleSpec(CONCURRENCY, f"function:{name}", None)))]
        return found

    def rule(self, spec: RuleSpec) -> Rule:
        """The rule of this name, as this declaration has it."""
        found = self.rules.get(spec.target)
        if found is None:
            found = self.rules[spec.target] = Rule(spec.target, spec.label)
        found.label, found.declared, found.period = spec.label, spec.n, round(spec.period * 1_000_000)
        return found

    def declared_rule(self, target: str, label: str) -> Rule:
        """A rule that nobody declares, as a change at run time may name one."""
        return self.rule(RuleSpec(label, target, None))

    def gate(self, rule: Rule, key: str) -> Gate:
        found = self.gates.get((rule.target, key))
        if found is None:
            found = self.gates[rule.target, key] = Gate(rule, key)
        return found

    def declare(self, name: str, concurrency: int | None, flow: FlowOptions) -> None:
        """A function has these limits from now on; what waits and what runs is counted against them anew."""
        lines = self.function(name)
        lines.concurrency, lines.flow = concurrency, flow
        lines.slots = [(spec.label, self.rule(spec)) for spec in slot_rules(name, concurrency, flow)]
        rate = rate_rule(name, flow)
        if rate is not None:
            self.rule(rate)
        for line in list(lines.lines.values()):
            self._regate(lines, line)
        lines.ready.clear()
        for line in lines.lines.values():
            lines.wake(line)
        self.list_function(lines)

    def _regate(self, lines: FunctionLines, line: Line) -> None:
        for gate in line.gates:
            gate.parked.pop(lines.name, None)
        for item in line.members.values():
            for gate in line.gates:
                gate.holders.pop(item.id, None)
                gate.waiting.pop(item.id, None)
        for gate in line.gates:
            gate.users -= 1
        lines.leave_turns(line)
        line.gates = self._gates_of(lines, line.keys)
        line.turn_key = turn_key_of(lines.flow, line.keys)
        lines.enter_turns(line)
        line.awake, line.gate, line.entry = False, None, None
        for item in sorted(line.members.values(), key=lambda each: (each.admitted, each.arrival)):
            if item.status is Status.HOLDING:
                self._hold(item)
            elif item.retains:
                line.gates[0].holders[item.id] = None
            if item.status is Status.WAITING and lines.flow.at_limit != "queue":
                line.gates[0].waiting[item.id] = None

    def _gates_of(self, lines: FunctionLines, keys: dict[str, str]) -> list[Gate]:
        gates = [self.gate(rule, keys.get(label, "")) for label, rule in lines.slots]
        for gate in gates:
            gate.users += 1
        return gates

    def line(self, name: str, keys: dict[str, str]) -> Line:
        """The line for these keys, made when the first of its executions comes."""
        lines = self.function(name)
        index = tuple(sorted(keys.items()))
        found = lines.lines.get(index)
        if found is None:
            found = Line(name, keys, self._gates_of(lines, keys), turn_key_of(lines.flow, keys))
            lines.lines[index] = found
            lines.enter_turns(found)
        return found

    # Slots.

    def take(self, item: Item, now: int) -> None:
        """Give the execution its slots."""
        lines = self.functions[item.line.function]
        first = item.admitted == 0
        item.status, item.taken = Status.HOLDING, now
        item.retains = False
        item.line.gates[0].waiting.pop(item.id, None)
        self._hold(item)
        for gate in item.line.gates:
            # A window counts executions, not their retries.
            if gate.rule.period and first:
                gate.passed(now, self.decided_at)
        lines.held[item.id] = None
        self.held[item.id] = None
        lines.take_turn(item.line)
        self.press(item.line.gates[0], lines)

    def press(self, gate: Gate, lines: FunctionLines) -> None:
        """What runs may have to make way for what waits here."""
        if lines.flow.at_limit == "cancel_running" and gate.waiting:
            self.pressed[gate.rule.target, gate.key] = gate

    def _hold(self, item: Item) -> None:
        for gate in item.line.gates:
            if not gate.rule.period:
                gate.holders[item.id] = None

    def hold_again(self, item: Item) -> None:
        """The execution has its slots as a snapshot tells."""
        if item.status is Status.HOLDING:
            self._hold(item)
            self.functions[item.line.function].held[item.id] = None
            self.held[item.id] = None
        else:
            item.line.gates[0].holders[item.id] = None

    def release(self, item: Item, now: int, retain: bool = False) -> None:
        """Take the slots back; with `retain` it keeps the one of its function's own limit."""
        lines = self.functions[item.line.function]
        item.retains = retain
        for index, gate in enumerate(item.line.gates):
            if retain and index == 0:
                continue
            if gate.holders.pop(item.id, 0) is None:
                self.room(gate, now)
        self.let_go(lines, item.id)

    def let_go(self, lines: FunctionLines, execution_id: str) -> None:
        """The execution holds no slot of the environment any more."""
        self.held.pop(execution_id, None)
        lines.held.pop(execution_id, None)
        self.list_function(lines)

    def room(self, gate: Gate, now: int) -> None:
        """A gate may have room: look again at the first line that each function parked there."""
        if gate.parked and gate.has_room(now):
            for name in list(gate.parked):
                self.functions[name].wake_best(gate)
                self.list_function(self.functions[name])

    # Waiting.

    def enter(self, item: Item) -> None:
        """The execution waits for admission from now on."""
        item.status = Status.WAITING
        item.line.push(item)
        lines = self.functions[item.line.function]
        if lines.flow.at_limit != "queue":
            item.line.gates[0].waiting[item.id] = None
        if lines.comes_first(item):
            lines.wake(item.line)
            self.list_function(lines)

    def leave(self, item: Item, now: int) -> None:
        """The execution waits and holds no longer, whatever comes next."""
        waited = item.status is Status.WAITING
        if item.gathering:
            self.gatherings.leave(item)
        elif self.singles.joining and item.status is Status.JOINING:
            self.singles.leave(item)
        item.status = Status.AWAY
        self.dropping.pop(item.id, None)
        item.line.gates[0].waiting.pop(item.id, None)
        self.release(item, now)
        if waited:
            lines = self.functions[item.line.function]
            lines.wake_others(item.line, ANY_TIME)
            self.list_function(lines)

    def put_down(self, items: Sequence[Item]) -> None:
        """They are to be discarded: in order of arrival, however they came here."""
        last = next(reversed(self.dropping.values()), None)
        for item in items:
            self.dropping[item.id] = item
        if last is not None and items and items[0].arrival < last.arrival:
            self.dropping = {each.id: each for each in sorted(self.dropping.values(), key=lambda each: each.arrival)}

    def forget(self, item: Item, now: int) -> None:
        """The execution is final."""
        self.leave(item, now)
        line = item.line
        del self.items[item.id]
        del line.members[item.id]
        if line.members:
            return
        lines = self.functions[line.function]
        if line.awake:
            lines.wake_others(line, ANY_TIME)
            self.list_function(lines)
        line.awake, line.gate, line.entry = False, None, None
        lines.leave_turns(line)
        lines.lines.pop(tuple(sorted(line.keys.items())), None)
        for gate in line.gates:
            gate.users -= 1
            self.forget_gate(gate)

    def forget_gate(self, gate: Gate) -> None:
        """Forget a gate that nobody uses; a window that still counts is looked at again when it is over."""
        place = (gate.rule.target, gate.key)
        if gate.is_idle(self.decided_at):
            self.gates.pop(place, None)
            self.pressed.pop(place, None)
        elif not gate.users:
            heappush(self.spent, (gate.recent[-1] + gate.rule.period, *place))

    def alarm(self, gate: Gate, earliest: int = 0) -> None:
        """Look again when the window opens."""
        heappush(self.alarms, (max(gate.opens_at(), earliest), gate.rule.target, gate.key))

    def list_function(self, lines: FunctionLines) -> None:
        """Offer the function for the choice between functions, if it has become a better one."""
        place = lines.place()
        if place is not None and (lines.listed is None or place < lines.listed):
            lines.listed = place
            heappush(self.choices, place)
