"""Windows that open by themselves: what waits at a throttle is looked at again when its time has come."""

from heapq import heappop

from penstock.domain.flow.state import FlowState


def sound_alarms(state: FlowState, now: int) -> None:
    """Windows that have opened by now let their lines be looked at again."""
    while state.alarms and state.alarms[0][0] <= now:
        _, target, key = heappop(state.alarms)
        gate = state.gates.get((target, key))
        if gate is None:
            continue
        if gate.parked:
            state.room(gate, now)
            if gate.parked:
                state.alarm(gate)
        else:
            state.forget_gate(gate, now)
