"""The fold over the facts of durable code: which operations are done, what is waited for, what can be undone."""

from typing import assert_never

from msgspec.structs import replace

from penstock.domain.execution import facts as f
from penstock.domain.execution.state import ChildState, Execution, Op, State

DURABLE = (
    f.StepCompleted,
    f.StepStarted,
    f.StepFailed,
    f.WaitOpened,
    f.Suspended,
    f.Woken,
    f.ChildCalled,
    f.ChildCompleted,
    f.MessageReceived,
    f.Progressed,
    f.Paused,
    f.Resumed,
    f.Compensating,
)

AnyDurableFact = (
    f.StepStarted
    | f.StepCompleted
    | f.StepFailed
    | f.WaitOpened
    | f.Suspended
    | f.Woken
    | f.ChildCalled
    | f.ChildCompleted
    | f.MessageReceived
    | f.Progressed
    | f.Paused
    | f.Resumed
    | f.Compensating
)

UNDO = "~undo"
"""What undoes a step is itself a step, with this at the end of its name."""


def evolve_durable(state: Execution, fact: AnyDurableFact) -> Execution:
    """The state after `fact`; number, sequence and time have been moved already."""
    match fact:
        case f.StepCompleted():
            return _step_completed(state, fact)
        case f.StepStarted():
            op = Op(kind="step", n=fact.n, at=fact.at, position=fact.position, started=True)
            return replace(state, ops=state.ops.set(fact.step, op))
        case f.StepFailed():
            op = Op(
                kind="step", n=fact.n, at=fact.at, position=fact.position, done=fact.retry_at is None,
                outcome="failed", error=fact.error, failures=fact.failures, retry_at=fact.retry_at,
            )  # fmt: skip
            return replace(state, ops=state.ops.set(fact.step, op))
        case f.WaitOpened():
            waits = {**state.waits, **{wait.key: wait for wait in fact.waits}}
            return _suspended(replace(state, waits=waits)) if fact.suspends else replace(state, waits=waits)
        case f.Suspended():
            return _suspended(state)
        case f.Woken():
            return _woken(state, fact)
        case f.ChildCalled():
            return _child_called(state, fact)
        case f.ChildCompleted():
            return _child_completed(state, fact)
        case f.MessageReceived():
            mailbox = {**state.mailbox, fact.channel: [*state.mailbox.get(fact.channel, []), fact]}
            return replace(state, mailbox=mailbox, messages=state.messages.set(fact.message, fact.n))
        case f.Progressed():
            return replace(state, progress=fact)
        case f.Paused():
            return replace(
                state, state=State.WAITING, activation=0, owner="", error=fact.error, paused=True,
                failures=state.failures + 1,
            )  # fmt: skip
        case f.Resumed():
            # Whoever resumes it wants the code that is there now: that is often the fix.
            return replace(
                state, state=State.QUEUED, activation=0 if fact.gated else fact.n, owner="", paused=False, failures=0,
                version="",
            )  # fmt: skip
        case f.Compensating():
            return replace(
                state, state=State.CANCELLING if fact.outcome == "cancelled" else State.QUEUED, activation=0, owner="",
                error=fact.error, compensating=fact, resuming=True, suspended=False, paused=False, waits={}, failures=0,
                losses=0, scheduled_at=None,
            )  # fmt: skip
        case _:
            assert_never(fact)


def _step_completed(state: Execution, fact: f.StepCompleted) -> Execution:
    op = Op(
        kind="step", n=fact.n, at=fact.at, position=fact.position, done=True, outcome="completed",
        result=fact.result, result_ref=fact.result_ref,
    )  # fmt: skip
    undoable = state.undoable.set(fact.step, fact.n) if fact.undo else state.undoable
    undone = fact.step.removesuffix(UNDO)
    if undone != fact.step and undone in undoable:
        undoable = undoable.delete(undone)
    return replace(state, ops=state.ops.set(fact.step, op), undoable=undoable)


def _suspended(state: Execution) -> Execution:
    return replace(state, state=State.WAITING, activation=0, owner="", suspended=True, resuming=True)


def _woken(state: Execution, fact: f.Woken) -> Execution:
    wait = state.waits.get(fact.wait)
    op = Op(
        kind="wait", n=fact.n, at=fact.at, done=True, outcome=fact.outcome,
        position=wait.position if wait is not None else fact.position, result=fact.result,
        result_ref=fact.result_ref, error=fact.error, source=fact.source,
    )  # fmt: skip
    before = state.ops.get(fact.wait)
    if before is not None and before.kind == "call":
        # Its children may end after the time-out; what the call came to stays as it is.
        op = replace(op, kind="call", children=before.children)
    mailbox, messages = state.mailbox, state.messages
    if fact.outcome == "message":
        messages = messages.set(fact.source, fact.n)
        mailbox = {
            channel: left
            for channel, kept in mailbox.items()
            if (left := [one for one in kept if one.message != fact.source])
        }
    state = replace(state, ops=state.ops.set(fact.wait, op), mailbox=mailbox, messages=messages)
    return _awake(close_wait(state, fact.wait), fact)


def close_wait(state: Execution, key: str) -> Execution:
    """Without this wait and its alternatives."""
    wait = state.waits.get(key)
    if wait is None:
        return state
    group = wait.group
    waits = {other: one for other, one in state.waits.items() if other != key and not (group and one.group == group)}
    return replace(state, waits=waits)


def _awake(state: Execution, fact: f.Woken | f.ChildCompleted) -> Execution:
    if not fact.wakes:
        return state
    activation = 0 if fact.gated else fact.n
    return replace(state, state=State.QUEUED, activation=activation, owner="", suspended=False)


def _child_called(state: Execution, fact: f.ChildCalled) -> Execution:
    op = Op(
        kind="call", n=fact.n, at=fact.at, position=fact.position, done=fact.detached, detached=fact.detached,
        outcome="detached" if fact.detached else "", children=[child.id for child in fact.children],
    )  # fmt: skip
    children = state.children
    for child in fact.children:
        children = children.set(child.id, ChildState(child=child, call=fact.call, on_cancel=fact.on_cancel))
    return replace(state, ops=state.ops.set(fact.call, op), children=children)


def _child_completed(state: Execution, fact: f.ChildCompleted) -> Execution:
    known = state.children.get(fact.child)
    if known is None:
        # A reader that keeps no operations: the fact itself says whether it wakes.
        return _awake(close_wait(state, fact.call) if fact.wakes else state, fact)
    ended = replace(
        known, state=fact.state, result=fact.result if fact.result is not None else known.result,
        result_ref=fact.result_ref, error=fact.error,
    )  # fmt: skip
    state = replace(state, children=state.children.set(fact.child, ended))
    op = state.ops[fact.call]
    if not op.done and all(state.children[child].state for child in op.children):
        op = replace(op, done=True, outcome="children", n=fact.n, at=fact.at)
        state = close_wait(replace(state, ops=state.ops.set(fact.call, op)), fact.call)
    return _awake(state, fact)
