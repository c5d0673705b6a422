"""The rules of durable code: steps, waits, children, messages, undoing. Pure, as `decide.py`, which calls them."""

import msgspec
from msgspec.structs import replace

from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve_durable import evolve_durable
from penstock.domain.execution.retries import RetryPolicy, retry_delay
from penstock.domain.execution.state import Execution, State
from penstock.domain.limits import (
    children_per_call_max,
    delay_seconds_max,
    messages_unread_max,
    steps_per_execution_max,
    waits_open_max,
    waits_opened_bytes_max,
)

Facts = list[f.AnyFact]

LEFT_SHOWN_MAX = 20
"""Steps named in the error of an execution that could not undo all that it did."""


def require_open(state: Execution, activation: int) -> None:
    """Raises Rejected `activation_closed` unless this activation is the open one."""
    if state.is_final or not state.activation or state.activation != activation:
        raise Rejected("activation_closed", f"Activation {activation} of {state.id} is over.", state=str(state.state))


def _require_room(state: Execution, keys: list[str]) -> None:
    """Raises Rejected `invalid_option` when these would be too many operations; undoing is never refused."""
    held = len(state.ops) + sum(key not in state.ops for key in state.waits)
    new = sum(key not in state.ops and key not in state.waits for key in keys)
    if new and held + new > steps_per_execution_max and state.compensating is None:
        raise Rejected("invalid_option", f"An execution has at most {steps_per_execution_max} steps, waits and calls.")


def _require_bounded(state: Execution, opened: list[f.Wait]) -> None:
    """Raises Rejected `invalid_option` when more would wait at once than a fact and a fold can bear."""
    if len(state.waits) + len(opened) > waits_open_max:
        raise Rejected(
            "invalid_option", f"At most {waits_open_max} waits and calls are open at once; make fewer at a time."
        )
    if len(msgspec.json.encode(opened)) > waits_opened_bytes_max:
        raise Rejected("invalid_option", f"Waits that are opened together have at most {waits_opened_bytes_max} bytes.")


def retry_time(policy: RetryPolicy, k: int, retry_after: float | None, now: int, dice: float) -> int:
    """When the k-th retry may start; `retry_after` (seconds) replaces the policy's delay."""
    delay = retry_delay(policy, k, dice) if retry_after is None else retry_after
    delay = min(max(0.0, delay), float(delay_seconds_max))
    return now + round(delay * 1_000_000)


def final(state: Execution, fact: f.Failed | f.Cancelled) -> Facts:
    """The final fact, or, while steps are to be undone, what makes that happen first."""
    if not state.undoable or state.compensating is not None:
        return [fact]
    error, outcome = f.ErrorInfo(code="cancelled", message="The execution was cancelled."), "cancelled"
    if isinstance(fact, f.Failed):
        error, outcome = fact.error, "failed"
    compensating = f.Compensating(n=fact.n, at=fact.at, outcome=outcome, error=error)  # type: ignore[arg-type]
    return [compensating, f.Due(n=fact.n + 1, at=fact.at, gated=state.gated)]


def begin_step(state: Execution, command: c.BeginStep, now: int) -> Facts:
    require_open(state, command.activation)
    if command.step in state.ops:
        return []
    _require_room(state, [command.step])
    return [f.StepStarted(n=state.n + 1, at=now, attempt=state.attempt, step=command.step, position=command.position)]


def complete_step(state: Execution, command: c.CompleteStep, now: int) -> Facts:
    require_open(state, command.activation)
    known = state.ops.get(command.step)
    if known is not None and known.done:
        return []
    _require_room(state, [command.step])
    return [
        f.StepCompleted(
            n=state.n + 1, at=now, attempt=state.attempt, step=command.step, started_at=command.started_at,
            result=command.result, result_ref=command.result_ref, position=command.position, undo=command.undo,
        )
    ]  # fmt: skip


def fail_step(state: Execution, command: c.FailStep, now: int, dice: float) -> Facts:
    require_open(state, command.activation)
    known = state.ops.get(command.step)
    if known is not None and known.done:
        return []
    failures = (known.failures if known is not None else 0) + 1
    retry_at = None
    if not command.terminal and failures <= command.policy.retries:
        retry_at = retry_time(command.policy, failures, command.retry_after, now, dice)
    return [
        f.StepFailed(
            n=state.n + 1, at=now, attempt=state.attempt, step=command.step, started_at=command.started_at,
            error=command.error, failures=failures, retry_at=retry_at, position=command.position,
        )
    ]  # fmt: skip


def open_waits(state: Execution, command: c.OpenWaits, now: int) -> Facts:
    """Opens what is not known yet; what is over already (time passed, a message is there) is ended at once instead.

    Of several waits with one key the first counts.
    """
    require_open(state, command.activation)
    waits = _first_of_each(command.waits)
    _require_room(state, [wait.key for wait in waits])
    facts: Facts = []
    decided = {wait.group for wait in waits if wait.group and _is_done(state, wait.key)}
    opened: list[f.Wait] = []
    for wait in waits:
        if _is_done(state, wait.key) or (wait.group and wait.group in decided):
            continue
        # One that an earlier attempt opened ends when it said then.
        over = _over_at_once(state, state.waits.get(wait.key, wait), now)
        if over is not None:
            facts.append(over)
            state = evolve_durable(_moved(state, over), over)
            decided |= {wait.group} - {""}
        elif wait.key not in state.waits:
            opened.append(wait)
    opened = [wait for wait in opened if wait.group not in decided]
    _require_bounded(state, opened)
    known = {*state.waits, *(wait.key for wait in opened)}
    # What is being cancelled does not wait; undoing steps may, whatever it ends in.
    may_suspend = state.state is State.RUNNING or state.compensating is not None
    blocked = command.blocked or [wait.key for wait in waits]
    suspends = command.suspends and may_suspend and bool(blocked) and all(key in known for key in blocked)
    times = [wait.until for wait in (*state.waits.values(), *opened) if wait.until is not None]
    wakes_at = min(times, default=None)
    if opened:
        facts.append(f.WaitOpened(n=state.n + 1, at=now, waits=opened, suspends=suspends, wakes_at=wakes_at))
    elif suspends:
        facts.append(f.Suspended(n=state.n + 1, at=now, wakes_at=wakes_at))
    return facts


def _first_of_each(waits: list[f.Wait]) -> list[f.Wait]:
    found: dict[str, f.Wait] = {}
    for wait in waits:
        found.setdefault(wait.key, wait)
    return list(found.values())


def _over_at_once(state: Execution, wait: f.Wait, now: int) -> f.Woken | None:
    n = state.n + 1
    if wait.wait == "message" and state.mailbox.get(wait.name):
        first = state.mailbox[wait.name][0]
        return f.Woken(
            n=n, at=now, wait=wait.key, outcome="message", result=first.body, source=first.message,
            position=wait.position, wakes_at=state.wakes_at,
        )  # fmt: skip
    if (wait.wait == "sleep" or wait.key in state.waits) and wait.until is not None and wait.until <= now:
        outcome: f.WaitOutcome = "elapsed" if wait.wait == "sleep" else "timed_out"
        return f.Woken(
            n=n, at=now, wait=wait.key, outcome=outcome, position=wait.position, wakes_at=_next_time(state, wait.key)
        )  # fmt: skip
    return None


def end_waits(state: Execution, now: int) -> Facts:
    """Every open wait whose time has come is over."""
    facts: Facts = []
    for wait in list(state.waits.values()):
        if wait.until is None or wait.until > now or wait.key not in state.waits:
            continue
        woken = _woken(state, wait, now, outcome="elapsed" if wait.wait == "sleep" else "timed_out")
        facts.append(woken)
        state = evolve_durable(_moved(state, woken), woken)
    return facts


def complete_wait(state: Execution, command: c.CompleteWait, now: int) -> Facts:
    known = state.ops.get(command.wait)
    if known is not None and known.done and command.source and known.source == command.source:
        return []
    if state.is_final or (known is not None and known.done):
        raise Rejected("wrong_state", f"The wait {command.wait!r} is over.", state=str(state.state))
    wait = state.waits.get(command.wait)
    if wait is None:
        if not command.early:
            raise Rejected("wrong_state", f"Nothing waits for {command.wait!r}.", state=str(state.state))
        wait = f.Wait(key=command.wait, wait="token")
    return [
        _woken(
            state, wait, now, outcome=command.outcome, result=command.result, result_ref=command.result_ref,
            error=command.error, source=command.source,
        )
    ]  # fmt: skip


def call_children(state: Execution, command: c.CallChildren, now: int) -> Facts:
    require_open(state, command.activation)
    if command.call in state.ops:
        return []
    _require_room(state, [command.call])
    if len(command.children) > children_per_call_max:
        raise Rejected("invalid_option", f"One call has at most {children_per_call_max} children.")
    return [
        f.ChildCalled(
            n=state.n + 1, at=now, call=command.call, children=command.children, position=command.position,
            detached=command.detached, on_cancel=command.on_cancel,
        )
    ]  # fmt: skip


def complete_child(state: Execution, command: c.CompleteChild, now: int) -> Facts:
    known = state.children.get(command.child)
    if state.is_final or known is None or known.state or state.ops[known.call].detached:
        return []
    others = (one for one in state.ops[known.call].children if one != command.child)
    is_last = all(state.children[one].state for one in others)
    wakes = state.suspended and is_last and known.call in state.waits
    return [
        f.ChildCompleted(
            n=state.n + 1, at=now, call=known.call, child=command.child, state=command.state, result=command.result,
            result_ref=command.result_ref, error=command.error, wakes=wakes, gated=wakes and state.gated,
            wakes_at=_next_time(state, known.call if is_last else ""),
        )
    ]  # fmt: skip


def receive_message(state: Execution, command: c.ReceiveMessage, now: int) -> Facts:
    if command.message in state.messages:
        return []
    if state.is_final:
        raise Rejected("wrong_state", f"The execution is already {state.state}.", state=str(state.state))
    for wait in state.waits.values():
        if wait.wait == "message" and wait.name == command.channel:
            return [_woken(state, wait, now, outcome="message", result=command.body, source=command.message)]
    if sum(map(len, state.mailbox.values())) >= messages_unread_max:
        raise Rejected("too_many_messages", f"It has {messages_unread_max} messages that it has not received yet.")
    return [
        f.MessageReceived(
            n=state.n + 1, at=now, message=command.message, channel=command.channel, body=command.body
        )
    ]  # fmt: skip


def resume(state: Execution, now: int) -> Facts:
    if not state.paused:
        raise Rejected("wrong_state", f"The execution is {state.state}, not paused.", state=str(state.state))
    return [f.Resumed(n=state.n + 1, at=now, gated=state.gated)]


def finish_compensation(state: Execution, command: c.FinishCompensation, now: int) -> Facts:
    require_open(state, command.activation)
    if state.compensating is None:
        raise Rejected("wrong_state", "Nothing is being undone.", state=str(state.state))
    if state.undoable:
        # The replay did not come to them: nobody knows any more what undoes them, and somebody has to look.
        left = ", ".join(sorted(state.undoable, key=state.undoable.__getitem__, reverse=True)[:LEFT_SHOWN_MAX])
        error = f.ErrorInfo(
            code="not_undone", message=f"Not undone: {left}. It ended with: {state.compensating.error.message}"
        )
        return [f.Failed(n=state.n + 1, at=now, attempt=state.attempt, error=error)]
    if state.compensating.outcome == "cancelled":
        return [f.Cancelled(n=state.n + 1, at=now)]
    return [f.Failed(n=state.n + 1, at=now, attempt=state.attempt, error=state.compensating.error)]


def _woken(state: Execution, wait: f.Wait, now: int, *, outcome: f.WaitOutcome, **content: object) -> f.Woken:
    wakes = state.suspended and wait.key in state.waits
    return f.Woken(
        n=state.n + 1, at=now, wait=wait.key, outcome=outcome, position=wait.position, wakes=wakes,
        gated=wakes and state.gated, wakes_at=_next_time(state, wait.key), **content,  # type: ignore[arg-type]
    )  # fmt: skip


def _next_time(state: Execution, closed: str) -> int | None:
    """When the next of the other open waits is over by itself."""
    group = state.waits[closed].group if closed in state.waits else ""
    left = (wait for key, wait in state.waits.items() if key != closed and not (group and wait.group == group))
    return min((wait.until for wait in left if wait.until is not None), default=None)


def _is_done(state: Execution, key: str) -> bool:
    return key in state.ops and state.ops[key].done


def _moved(state: Execution, fact: f.Woken) -> Execution:
    return replace(state, n=fact.n, updated_at=fact.at)
