"""The rules: which facts follow from a command. Pure; the clock and the dice are arguments.

`decide` answers with the facts to append, in order (none: nothing has to happen). Where the state forbids the command
it raises Rejected. A late result of a lost attempt is refused here, by its activation, and again by the log, by its
expected sequence.
"""

from typing import assert_never

from msgspec.structs import replace

from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution import decide_durable as durable
from penstock.domain.execution import facts as f
from penstock.domain.execution.decide_durable import final, require_open, retry_time
from penstock.domain.execution.retries import policy_for
from penstock.domain.execution.state import Execution, State


def decide(state: Execution | None, command: c.AnyCommand, now: int, dice: float = 0.0) -> list[f.AnyFact]:
    """Facts that follow from `command` at `now` (microseconds since the epoch); `dice` is a number in [0, 1).

    Raises Rejected with `already_exists`, `unknown_execution`, `wrong_state`, `activation_closed` or
    `activation_owned`.
    """
    if type(command) is c.Enqueue:
        if state is not None:
            raise Rejected("already_exists", f"Execution {state.id} exists.", state=str(state.state))
        return [command.fact]
    if state is None:
        raise Rejected("unknown_execution", "There is no such execution.")
    match command:
        case c.Start():
            return _start(state, command, now)
        case c.Succeed():
            return _succeed(state, command, now)
        case c.CompleteStep():
            return durable.complete_step(state, command, now)
        case c.BeginStep():
            return durable.begin_step(state, command, now)
        case c.FailStep():
            return durable.fail_step(state, command, now, dice)
        case c.OpenWaits():
            return durable.open_waits(state, command, now)
        case c.CompleteWait():
            return durable.complete_wait(state, command, now)
        case c.CallChildren():
            return durable.call_children(state, command, now)
        case c.CompleteChild():
            return durable.complete_child(state, command, now)
        case c.ReceiveMessage():
            return durable.receive_message(state, command, now)
        case c.ReportProgress():
            require_open(state, command.activation)
            return [f.Progressed(n=state.n + 1, at=now, done=command.done, total=command.total, note=command.note)]
        case c.Fail():
            return _fail(state, command, now, dice)
        case c.LoseAttempt():
            return _lose(state, command, now)
        case c.WakeUp():
            return _wake(state, now)
        case c.RequestCancel():
            return _request_cancel(state, command, now)
        case c.ConfirmCancel():
            require_open(state, command.activation)
            return final(state, f.Cancelled(n=state.n + 1, at=now))
        case c.Reschedule():
            return _reschedule(state, command, now)
        case c.Resume():
            return durable.resume(state, now)
        case c.FinishCompensation():
            return durable.finish_compensation(state, command, now)
        case c.Settle():
            return _settle(state, command, now)
        case _:
            assert_never(command)


def _start(state: Execution, command: c.Start, now: int) -> list[f.AnyFact]:
    require_open(state, command.activation)
    if state.owner and state.owner != command.runner:
        raise Rejected("activation_owned", f"{state.owner} runs this activation.", owner=state.owner)
    if state.owner:
        return []
    if state.state is State.CANCELLING and state.compensating is None:
        return final(state, f.Cancelled(n=state.n + 1, at=now))
    if state.is_overdue(now):
        return [f.Discarded(n=state.n + 1, at=now)]
    if state.is_out_of_time(now):
        return _out_of_time(state, now)
    return [
        f.Started(
            n=state.n + 1, at=now, activation=command.activation,
            attempt=state.attempt if state.resuming else state.attempt + 1,
            runner=command.runner, version=command.version, losses=command.losses,
        )
    ]  # fmt: skip


def _succeed(state: Execution, command: c.Succeed, now: int) -> list[f.AnyFact]:
    require_open(state, command.activation)
    n = state.n + 1
    if state.state is State.CANCELLING and state.cancel_forced and state.compensating is None:
        # It was to be stopped without delay, and has only been quicker than the stop.
        return final(state, f.Cancelled(n=n, at=now))
    return [f.Succeeded(n=n, at=now, attempt=state.attempt, result=command.result, result_ref=command.result_ref)]


def _fail(state: Execution, command: c.Fail, now: int, dice: float) -> list[f.AnyFact]:
    require_open(state, command.activation)
    n, attempt = state.n + 1, state.attempt
    if state.state is State.CANCELLING and state.compensating is None:
        return final(state, f.Cancelled(n=n, at=now))
    policy = policy_for(state.policy, command.policy)
    retries = policy.retries if state.retries is None else state.retries
    k = state.failures + 1
    if command.terminal or k > retries or state.is_out_of_time(now):
        if command.pause and state.compensating is None:
            return [f.Paused(n=n, at=now, attempt=attempt, error=command.error)]
        return final(state, f.Failed(n=n, at=now, attempt=attempt, error=command.error))
    retry_at = retry_time(policy, k, command.retry_after, now, dice)
    return [f.RetryScheduled(n=n, at=now, attempt=attempt, error=command.error, retry_at=retry_at)]


def _lose(state: Execution, command: c.LoseAttempt, now: int) -> list[f.AnyFact]:
    require_open(state, command.activation)
    if not state.owner:
        return []
    n = state.n + 1
    if state.state is State.CANCELLING and state.compensating is None:
        return final(state, f.Cancelled(n=n, at=now))
    lost = f.AttemptLost(
        n=n, at=now, attempt=state.attempt, activation=command.activation, runner=state.owner, reason=command.reason
    )
    if command.reason != "drained" and state.losses + 1 >= state.losses_allowed:
        error = command.error or f.ErrorInfo(
            code="runner_lost", message=f"The runner was lost {state.losses + 1} times while this execution ran."
        )
        failed = f.Failed(n=n + 1, at=now, attempt=state.attempt, error=error)
        return [lost, *final(state, failed)]
    return [lost, f.Due(n=n + 1, at=now)]


def _wake(state: Execution, now: int) -> list[f.AnyFact]:
    if state.is_overdue(now):
        return [f.Discarded(n=state.n + 1, at=now)]
    if state.is_out_of_time(now) and not state.owner:
        return _out_of_time(state, now)
    if state.wakes_at is None or now < state.wakes_at:
        return []
    if state.state not in (State.SCHEDULED, State.RETRYING):
        return durable.end_waits(state, now)
    return [f.Due(n=state.n + 1, at=now, gated=state.gated)]


def _out_of_time(state: Execution, now: int) -> list[f.AnyFact]:
    error = f.ErrorInfo(code="timed_out", message="The execution did not end within its total_timeout.")
    return final(state, f.Failed(n=state.n + 1, at=now, attempt=state.attempt, error=error))


def _request_cancel(state: Execution, command: c.RequestCancel, now: int) -> list[f.AnyFact]:
    if state.state is State.CANCELLED:
        return []
    if state.is_final:
        raise Rejected("wrong_state", f"The execution is already {state.state}.", state=str(state.state))
    if state.compensating is not None:
        return []
    if command.attempts_max is not None and state.attempt > command.attempts_max:
        raise Rejected("wrong_state", f"The execution is {state.state} and is left alone.", state=str(state.state))
    if not state.owner:
        return final(state, f.Cancelled(n=state.n + 1, at=now))
    if state.state is State.CANCELLING and (state.cancel_forced or not command.force):
        return []
    return [f.CancelRequested(n=state.n + 1, at=now, force=command.force)]


def _reschedule(state: Execution, command: c.Reschedule, now: int) -> list[f.AnyFact]:
    if state.leader and not state.is_final:
        detail = f"The execution follows {state.leader} and does not start by itself."
        raise Rejected("wrong_state", detail, state=str(state.state))
    if state.has_started or state.state not in (State.QUEUED, State.SCHEDULED):
        raise Rejected("wrong_state", f"The execution is {state.state} and cannot be moved.", state=str(state.state))
    if command.run_at is None or command.run_at <= now:
        # What is runnable already stays where it is in the queue.
        if state.activation or state.state is State.QUEUED:
            return []
        return [f.Due(n=state.n + 1, at=now, gated=state.gated)]
    if state.discard_at is not None and command.run_at >= state.discard_at and not command.or_discard:
        detail = "It would be discarded before this time, since it was not to start so late. Start it anew instead."
        raise Rejected("invalid_option", detail, pointers=[("/at", "after the last start")])
    if state.deadline_at is not None and command.run_at >= state.deadline_at:
        detail = "Its total_timeout is over before this time. Start it anew instead."
        raise Rejected("invalid_option", detail, pointers=[("/at", "after the deadline")])
    return [f.Rescheduled(n=state.n + 1, at=now, run_at=command.run_at)]


def _settle(state: Execution, command: c.Settle, now: int) -> list[f.AnyFact]:
    if state.is_final or state.leader != command.leader:
        return []
    n, outcome = state.n + 1, command.outcome
    match outcome:
        case f.Succeeded():
            return [replace(outcome, n=n, at=now, attempt=state.attempt)]
        case f.Failed():
            return [replace(outcome, n=n, at=now, attempt=state.attempt, leader=command.leader)]
        case _:
            return [replace(outcome, n=n, at=now, leader=command.leader)]
