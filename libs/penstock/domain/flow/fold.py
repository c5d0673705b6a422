"""The fold: flow control's state after one more fact of the log."""

from penstock.domain import system as s
from penstock.domain.execution import facts as f
from penstock.domain.flow.arrival import arrive, collected, lead, queue_up, sort_in_again, step_down
from penstock.domain.flow.changes import change_limit, pause, resume
from penstock.domain.flow.lines import Item, Status
from penstock.domain.flow.state import FlowState
from penstock.domain.flow.windows import forget_spent
from penstock.domain.limits import arguments_bytes_max


def apply(state: FlowState, execution_id: str, function: str, sequence: int, fact: f.AnyFact | f.Unknown) -> None:
    """One fact about one execution."""
    state.position = sequence
    item = state.items.get(execution_id)
    if item is None:
        if isinstance(fact, f.Enqueued) and fact.gated:
            _create(state, execution_id, fact, sequence)
        else:
            _ungated(state, execution_id, function, fact)
        return
    item.n, item.sequence = fact.n, sequence
    match fact:
        case f.Due(gated=True):
            if item.status is Status.GATHERING:
                queue_up(state, item, sequence, fact.at)
                return
            if item.status is not Status.AWAY:
                return
            if item.arrival:
                state.enter(item)
            else:
                arrive(state, item, sequence, fact.at)
        case f.Admitted():
            _admit(state, item, sequence, fact.at)
        case f.RetryScheduled() | f.Suspended() | f.Paused() | f.Compensating() | f.WaitOpened(suspends=True):
            _set_aside(state, item, fact.at)
        case f.Woken(wakes=True) | f.ChildCompleted(wakes=True) | f.Resumed():
            if item.status is Status.AWAY:
                state.enter(item)
        case f.Rescheduled():
            state.leave(item, fact.at)
            item.arrival = 0
            step_down(state, item)
        case f.CancelRequested():
            item.asked = True
        case f.Succeeded() | f.Failed() | f.Cancelled() | f.Discarded():
            state.forget(item, fact.at)
            step_down(state, item)
        case f.Followed():
            _followed(state, item, fact)
        case f.Joined():
            # It never needs admission again.
            state.forget(item, fact.at)
        case _:
            pass


def apply_system(state: FlowState, sequence: int, fact: s.AnySystemFact | None) -> None:
    """One fact about the system."""
    state.position = sequence
    match fact:
        case s.FunctionDeclared():
            before = state.function(fact.spec.name).flow
            state.declare(fact.spec.name, fact.spec.concurrency, fact.spec.flow)
            sort_in_again(state, fact.spec.name, before)
        case s.LimitChanged():
            change_limit(state, fact)
        case s.Paused():
            pause(state, fact)
        case s.Resumed():
            resume(state, fact)
        case s.AdmissionDecided():
            state.lane, state.decided_at = sequence, fact.at
            forget_spent(state)
        case _:
            pass


def _create(state: FlowState, execution_id: str, fact: f.Enqueued, sequence: int) -> None:
    line = state.line(fact.function, fact.keys)
    item = state.items[execution_id] = Item(execution_id, fact.n, sequence, fact.priority)
    item.weight, item.is_batch = _weight(fact), bool(fact.members)
    item.join(line)
    collected(state, fact.members)
    if fact.run_at is None:
        arrive(state, item, sequence, fact.at)


def _weight(fact: f.Enqueued) -> int:
    """Bytes of what the function is given; of what lies in the object store, as many as it may be."""
    if fact.arguments_ref is not None:
        return arguments_bytes_max
    event = memoryview(fact.event).nbytes if fact.event is not None else 0
    return memoryview(fact.args).nbytes + memoryview(fact.kwargs).nbytes + event


def _followed(state: FlowState, item: Item, fact: f.Followed) -> None:
    if not lead(state, item):
        item.followers += len(fact.followers)


def _admit(state: FlowState, item: Item, sequence: int, at: int) -> None:
    if item.status is not Status.HOLDING:
        state.take(item, at)
    elif item.taken != at and item.admitted == 0:
        # Decided here, and elsewhere first: what counts is what the log has.
        for gate in item.line.gates:
            if gate.rule.period:
                gate.unpassed(item.taken)
                gate.passed(at, state.decided_at)
    item.admitted, item.taken = sequence, at


def _set_aside(state: FlowState, item: Item, at: int) -> None:
    """It needs no slot until something happens; then it queues up again, in its old place."""
    if item.status is Status.HOLDING:
        state.release(item, at, retain=state.functions[item.line.function].flow.fifo)
        item.status = Status.AWAY


def _ungated(state: FlowState, execution_id: str, function: str, fact: f.AnyFact | f.Unknown) -> None:
    """An execution without admission holds slots while it runs, so that the admitted ones leave room for it."""
    match fact:
        case f.Started():
            ungated_runs(state, execution_id, function)
        case (
            f.RetryScheduled() | f.AttemptLost() | f.Suspended() | f.Paused() | f.Compensating()
            | f.WaitOpened(suspends=True) | f.Succeeded() | f.Failed() | f.Cancelled() | f.Discarded()
        ):  # fmt: skip
            ungated_stops(state, execution_id, function)
        case _:
            pass


def ungated_runs(state: FlowState, execution_id: str, function: str) -> None:
    """An execution that needed no admission has started."""
    state.ungated[execution_id] = function
    state.function(function).held[execution_id] = None
    state.held[execution_id] = None


def ungated_stops(state: FlowState, execution_id: str, function: str) -> None:
    """It runs no more."""
    if state.ungated.pop(execution_id, None) is not None:
        state.let_go(state.function(function), execution_id)
