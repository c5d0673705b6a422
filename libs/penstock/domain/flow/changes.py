"""What people change while everything runs: limits, pauses and their ends."""

from penstock.domain.flow.functions import FunctionLines
from penstock.domain.flow.limits import CONCURRENCY, ENVIRONMENT
from penstock.domain.flow.state import FlowState
from penstock.domain.system import LimitChanged, Paused, Resumed


def change_limit(state: FlowState, fact: LimitChanged) -> None:
    """Another number for a limit. A lower one takes no slot away from what runs."""
    rule = state.rules.get(fact.target)
    if rule is None:
        # Set before any function declared it; the declaration finds it.
        rule = state.declared_rule(fact.target, fact.target.partition(":")[0])
    rule.changed = fact.limit
    if fact.target == ENVIRONMENT:
        return
    for (target, _), gate in list(state.gates.items()):
        if target == fact.target:
            _wake_all(state, list(gate.parked))


def pause(state: FlowState, fact: Paused) -> None:
    """Admit nothing more of it."""
    if not fact.function:
        state.is_paused = True
    elif fact.key:
        state.function(fact.function).paused_keys.add(fact.key)
    else:
        state.function(fact.function).is_paused = True


def resume(state: FlowState, fact: Resumed) -> None:
    """Admit again; what came meanwhile is all there, in its order."""
    if not fact.function:
        state.is_paused = False
        return
    lines = state.function(fact.function)
    if fact.key:
        lines.paused_keys.discard(fact.key)
        for line in lines.lines.values():
            if line.keys.get(CONCURRENCY, "") == fact.key:
                lines.wake(line)
    else:
        lines.is_paused = False
    state.list_function(lines)


def _wake_all(state: FlowState, names: list[str]) -> None:
    for name in names:
        lines: FunctionLines = state.functions[name]
        for line in lines.lines.values():
            lines.wake(line)
        state.list_function(lines)
