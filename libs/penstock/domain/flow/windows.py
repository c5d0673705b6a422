"""Windows that open by themselves: what waits at a throttle is looked at again when its time has come."""

from heapq import heappop

from penstock.domain.flow.state import FlowState


def sound_alarms(state: FlowState, now: int) -> None:
    """Windows that have opened by now let their lines be looked at again."""
    while state.alarms and state.alarms[0][0] <= now:
        _, target, key = heappop(state.alarms)
        gate = state.gates.get((target, key))
        if gate is not None and gate.parked:
            state.room(gate, now)
            if gate.parked:
                # One line was let go; the others are looked at when it has taken its turn.
                state.alarm(gate, now + 1)


def forget_spent(state: FlowState) -> None:
    """Forget windows that are over. The fold does this, not the decision: its time is the same for every reader."""
    while state.spent and state.spent[0][0] <= state.decided_at:
        _, target, key = heappop(state.spent)
        gate = state.gates.get((target, key))
        if gate is not None:
            state.forget_gate(gate)
