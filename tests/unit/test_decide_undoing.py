"""The rules of pausing, cancelling and undoing, one claim each."""

import pytest
from msgspec import Raw

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.state import Execution, State
from penstock.domain.limits import losses_max
from penstock.testing.given import Outcome, given
from unit.durable_histories import (
    RUNNING,
    compensating,
    complete,
    event,
    open_waits,
    opened,
    sleep,
    step,
    tell,
    woken,
)
from unit.histories import BOOM, enqueued, fail, lost, retry_scheduled, start, started, succeed

ASKED = c.RequestCancel()
PAUSED = f.Paused(n=3, at=0, attempt=1, error=BOOM)
DONE = (*RUNNING, step(undo=True))
"""A step that can be undone is done."""
UNDOING = (*DONE, compensating(4), f.Due(n=5, at=0))
CANCELLED = f.ErrorInfo(code="cancelled", message="The execution was cancelled.")


def kinds(outcome: Outcome) -> list[str]:
    assert isinstance(outcome.answer, list), outcome.answer
    return [f.kind_of(fact) for fact in outcome.answer]


def after(outcome: Outcome) -> Execution:
    assert outcome.state is not None
    return outcome.state


# Pausing.


def test_a_failed_execution_may_wait_for_a_fix() -> None:
    """Instead of failing for good."""
    outcome = given(*RUNNING).when(fail(pause=True), now=5).then(f.Paused(n=3, at=5, attempt=1, error=BOOM))
    assert (after(outcome).state, after(outcome).paused, after(outcome).activation) == (State.WAITING, True, 0)


def test_retries_come_before_a_pause() -> None:
    """Only the last failure pauses."""
    given(*RUNNING).when(fail(retries=1, pause=True), now=0).then(retry_scheduled(retry_at=10_000_000))


def test_code_that_diverged_is_paused_too() -> None:
    """With the right code back it can go on."""
    command = c.Fail(activation=1, error=f.ErrorInfo(code="diverged"), policy=fail().policy, terminal=True, pause=True)
    assert kinds(given(*RUNNING).when(command)) == ["paused"]


def test_resuming_starts_the_next_attempt_and_counts_failures_anew() -> None:
    """All retries are there again."""
    given(*RUNNING, PAUSED).when(c.Resume(), now=5).then(f.Resumed(n=4, at=5))
    history = (*RUNNING, PAUSED, f.Resumed(n=4, at=0), started(n=5, activation=4, attempt=2))
    given(*history[:-1]).when(start(activation=4)).then(history[-1])
    command = fail(activation=4, retries=1)
    given(*history).when(command).then(retry_scheduled(n=6, attempt=2, retry_at=10_000_000))


def test_resuming_a_gated_execution_queues_it_for_admission() -> None:
    """Its slot was free meanwhile."""
    history = (enqueued(gated=True), f.Admitted(n=2, at=0), started(n=3, activation=2))
    paused = f.Paused(n=4, at=0, attempt=1, error=BOOM)
    outcome = given(*history, paused).when(c.Resume()).then(f.Resumed(n=5, at=0, gated=True))
    assert (after(outcome).state, after(outcome).activation) == (State.QUEUED, 0)


@pytest.mark.parametrize("history", [RUNNING, (*RUNNING, opened(3, sleep())), (*RUNNING, PAUSED, f.Resumed(n=4, at=0))])
def test_only_what_is_paused_can_be_resumed(history: tuple[f.AnyFact, ...]) -> None:
    """Waiting for something else is no pause."""
    given(*history).when(c.Resume()).rejected("wrong_state")


def test_a_paused_execution_can_be_cancelled() -> None:
    """At once, since nothing runs."""
    given(*RUNNING, PAUSED).when(ASKED, now=5).then(f.Cancelled(n=4, at=5))


def test_what_comes_while_paused_is_kept_and_does_not_wake() -> None:
    """The fix comes first."""
    history = (*RUNNING, opened(3, event(), sleep(), suspends=False), f.Paused(n=4, at=0, attempt=1, error=BOOM))
    for command in (tell(), complete("approved", "event"), c.WakeUp()):
        outcome = given(*history).when(command, now=100)
        assert len(kinds(outcome)) == 1
        assert (after(outcome).paused, after(outcome).activation) == (True, 0)


# Cancelling what waits.


def test_what_waits_is_cancelled_at_once() -> None:
    """Nobody has to be asked, and no wake-up follows."""
    history = (*RUNNING, opened(3, sleep()))
    outcome = given(*history).when(ASKED, now=5).then(f.Cancelled(n=4, at=5))
    assert (after(outcome).waits, after(outcome).wakes_at, after(outcome).suspended) == ({}, None, False)
    given(*history, f.Cancelled(n=4, at=5)).when(c.WakeUp(), now=100).nothing()


def test_a_cancel_that_comes_before_the_wait_is_kept() -> None:
    """The wait does not suspend it, so that its runner confirms."""
    history = (*RUNNING, f.CancelRequested(n=3, at=0))
    outcome = given(*history).when(open_waits(sleep())).then(opened(4, sleep(), suspends=False))
    assert (after(outcome).state, after(outcome).owner) == (State.CANCELLING, "r1")
    given(*history, opened(4, sleep(), suspends=False)).when(c.ConfirmCancel(activation=1), now=5).then(
        f.Cancelled(n=5, at=5)
    )


def test_a_cancel_after_the_wake_up_is_final_before_the_start() -> None:
    """It is in the queue again."""
    history = (*RUNNING, opened(3, sleep()), woken(4, "nap", wakes=True))
    given(*history).when(ASKED, now=5).then(f.Cancelled(n=5, at=5))
    given(*history, f.Cancelled(n=5, at=5)).when(start(activation=4)).rejected("activation_closed")


# Undoing.


def test_a_failure_undoes_what_can_be_undone_first() -> None:
    """It is runnable for that, and not failed yet."""
    outcome = given(*DONE).when(fail(), now=5).then(compensating(4, at=5), f.Due(n=5, at=5))
    assert (after(outcome).state, after(outcome).activation, after(outcome).error) == (State.QUEUED, 5, BOOM)


def test_a_failure_with_nothing_to_undo_is_final() -> None:
    """Steps without `undo=` stay done."""
    assert kinds(given(*RUNNING, step()).when(fail())) == ["failed"]


@pytest.mark.parametrize("command", [c.ConfirmCancel(activation=1), fail(), c.LoseAttempt(activation=1)])
def test_a_cancel_undoes_first(command: c.AnyCommand) -> None:
    """Whoever notices that it has stopped; it is `cancelling` until it is done."""
    history = (*DONE, f.CancelRequested(n=4, at=0))
    outcome = given(*history).when(command, now=5).then(compensating(5, "cancelled", at=5), f.Due(n=6, at=5))
    assert after(outcome).state is State.CANCELLING


def test_a_cancel_of_what_waits_undoes_first() -> None:
    """The waits are over."""
    history = (*DONE, opened(4, sleep()))
    outcome = given(*history).when(ASKED, now=5).then(compensating(5, "cancelled", at=5), f.Due(n=6, at=5))
    assert (after(outcome).waits, after(outcome).state) == ({}, State.CANCELLING)


def test_a_cancel_found_at_the_start_undoes_first() -> None:
    """The activation is over; undoing has one of its own."""
    history = (*DONE, f.CancelRequested(n=4, at=0), f.Due(n=5, at=0))
    given(*history).when(start(activation=5), now=5).then(compensating(6, "cancelled", at=5), f.Due(n=7, at=5))


def test_undoing_goes_on_with_the_number_of_the_attempt() -> None:
    """It is no further attempt of the function."""
    given(*UNDOING).when(start(activation=5)).then(started(n=6, activation=5, attempt=1))


def test_undoing_a_cancelled_execution_starts_although_it_is_cancelling() -> None:
    """And stays so, over retries and losses."""
    history = [*DONE, compensating(4, "cancelled"), f.Due(n=5, at=0), started(n=6, activation=5)]
    assert after(given(*history[:-1]).when(start(activation=5)).then(history[-1])).state is State.CANCELLING
    history += [retry_scheduled(n=7), f.Due(n=8, at=0), started(n=9, activation=8, attempt=2)]
    state = given(*history).state
    assert state is not None
    assert state.state is State.CANCELLING


def test_a_gated_execution_queues_for_undoing() -> None:
    """Undoing takes a slot like everything else."""
    history = (enqueued(gated=True), f.Admitted(n=2, at=0), started(n=3, activation=2), step(4, undo=True))
    outcome = given(*history).when(fail(activation=2))
    outcome.then(compensating(5), f.Due(n=6, at=0, gated=True))


def test_each_undone_step_is_a_step() -> None:
    """Stored once, so that nothing is undone twice."""
    history = (*UNDOING, started(n=6, activation=5))
    command = c.CompleteStep(activation=5, step="a~undo", started_at=0, result=Raw(b"1"))
    outcome = given(*history).when(command).then(step(7, "a~undo"))
    assert not after(outcome).undoable


@pytest.mark.parametrize(
    ("outcome", "fact"),
    [("failed", f.Failed(n=8, at=5, attempt=1, error=BOOM)), ("cancelled", f.Cancelled(n=8, at=5))],
)
def test_when_all_is_undone_it_ends_as_it_was_going_to(outcome: str, fact: f.AnyFact) -> None:
    """With the error that started it."""
    history = (*DONE, compensating(4, outcome), f.Due(n=5, at=0), started(n=6, activation=5), step(7, "a~undo"))
    given(*history).when(c.FinishCompensation(activation=5), now=5).then(fact)


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_a_step_that_the_replay_did_not_come_to_is_named_and_not_passed_over(outcome: str) -> None:
    """Nobody may take it for undone."""
    history = (*DONE, compensating(4, outcome), f.Due(n=5, at=0), started(n=6, activation=5))
    ended = given(*history).when(c.FinishCompensation(activation=5))
    assert kinds(ended) == ["failed"]
    error = after(ended).error
    assert error is not None
    assert (error.code, "Not undone: a." in error.message) == ("not_undone", True)


def test_undoing_ends_only_what_is_being_undone() -> None:
    """A confused runner cannot fail a good execution."""
    given(*RUNNING).when(c.FinishCompensation(activation=1)).rejected("wrong_state")


def test_a_failed_undo_is_retried_and_fails_in_the_end() -> None:
    """With the retries of the function, counted anew; there is no undoing of the undoing."""
    history = (*UNDOING, started(n=6, activation=5))
    given(*history).when(fail(activation=5, retries=1, pause=True)).then(retry_scheduled(n=7, retry_at=10_000_000))
    given(*history).when(fail(activation=5, pause=True)).then(f.Failed(n=7, at=0, attempt=1, error=BOOM))


def test_a_cancel_while_undoing_decides_nothing() -> None:
    """It is on its way to an end."""
    given(*UNDOING).when(ASKED).nothing()
    given(*UNDOING, started(n=6, activation=5)).when(c.RequestCancel(force=True)).nothing()


def test_losses_while_undoing_are_counted_anew() -> None:
    """What killed the function's runners need not kill those of its undoing."""
    history: list[f.AnyFact] = list(DONE)
    activation = 1
    for number in range(1, losses_max):
        history.append(lost(n=history[-1].n + 1, attempt=number, activation=activation))
        history.append(f.Due(n=history[-1].n + 1, at=0))
        activation = history[-1].n
        history.append(started(n=activation + 1, activation=activation, attempt=number + 1))
    outcome = given(*history).when(c.LoseAttempt(activation=activation))
    assert kinds(outcome) == ["attempt_lost", "compensating", "due"]
    assert isinstance(outcome.answer, list)
    history += outcome.answer
    activation = history[-1].n
    for number in range(1, losses_max + 1):
        history.append(started(n=activation + 1, activation=activation, attempt=losses_max + number - 1))
        outcome = given(*history).when(c.LoseAttempt(activation=activation))
        assert kinds(outcome) == ["attempt_lost", "due" if number < losses_max else "failed"]
        history += outcome.answer
        activation = history[-1].n


def test_undoing_may_wait() -> None:
    """A step that undoes may have a backoff of its own, also of a cancelled execution."""
    for end in ("failed", "cancelled"):
        history = (*DONE, compensating(4, end), f.Due(n=5, at=0), started(n=6, activation=5))
        outcome = given(*history).when(open_waits(sleep(), activation=5)).then(opened(7, sleep()))
        assert after(outcome).suspended
        woke = woken(8, "nap", wakes=True, at=100)
        given(*history, opened(7, sleep())).when(c.WakeUp(), now=100).then(woke)
        given(*history, opened(7, sleep()), woke).when(start(activation=8)).then(started(n=9, activation=8))


def test_success_needs_no_undoing() -> None:
    """What is done is meant to stay."""
    assert kinds(given(*DONE).when(succeed())) == ["succeeded"]
