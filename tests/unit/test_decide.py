"""Every rule of the core, one claim each."""

import pytest
from msgspec import Raw

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.limits import delay_seconds_max, losses_max
from penstock.testing.given import given
from unit.histories import BOOM, enqueued, fail, lost, retry_scheduled, start, started, succeed

FORCED = c.RequestCancel(force=True)
ASKED = c.RequestCancel()
WAKE = c.WakeUp()
STEP = c.CompleteStep(activation=1, step="extract", started_at=4, result=Raw(b"1"))
DONE = f.Succeeded(n=3, at=5, attempt=1, result=Raw(b"3"))


# Creation.


def test_enqueue_makes_an_execution_that_does_not_exist() -> None:
    """The first fact is stored as it was made."""
    given().when(c.Enqueue(fact=enqueued())).then(enqueued())


def test_enqueue_is_refused_when_the_execution_exists() -> None:
    """One id is one execution."""
    given(enqueued()).when(c.Enqueue(fact=enqueued())).rejected("already_exists")


def test_a_command_for_nothing_is_refused() -> None:
    """There is no execution to start."""
    given().when(start()).rejected("unknown_execution")


# Start.


def test_start_takes_the_open_activation() -> None:
    """The fact names runner, activation and attempt 1."""
    given(enqueued()).when(start(), now=5).then(started(at=5))


def test_start_is_refused_when_the_activation_is_over() -> None:
    """An item delivered after the end is of no use."""
    given(enqueued(), started(), DONE).when(start()).rejected("activation_closed")


def test_start_is_refused_for_an_activation_of_earlier() -> None:
    """A newer run fact closed it."""
    history = (enqueued(), started(), retry_scheduled(), f.Due(n=4, at=100))
    given(*history).when(start(activation=1)).rejected("activation_closed")


def test_start_is_refused_when_nothing_is_runnable() -> None:
    """Activation 0 means that there is none, and nobody can take it."""
    given(enqueued(run_at=100)).when(start(activation=0)).rejected("activation_closed")


def test_start_is_refused_when_another_runner_owns_the_activation() -> None:
    """Only its lease can tell whether that one still lives."""
    given(enqueued(), started()).when(start(runner="r2")).rejected("activation_owned")


def test_start_twice_by_the_same_runner_stores_one_fact() -> None:
    """A redelivery to the owner decides nothing."""
    given(enqueued(), started()).when(start()).nothing()


def test_start_after_discard_at_discards() -> None:
    """What was not started in time is not started at all."""
    given(enqueued(discard_at=100)).when(start(), now=100).then(f.Discarded(n=2, at=100))


def test_start_just_before_discard_at_starts() -> None:
    """The limit is exact to the microsecond."""
    given(enqueued(discard_at=100)).when(start(), now=99).then(started(at=99))


def test_discard_at_does_not_touch_a_later_attempt() -> None:
    """It was started in time the first time."""
    history = (enqueued(discard_at=50), started(), retry_scheduled(), f.Due(n=4, at=100))
    given(*history).when(start(activation=4), now=100).then(started(n=5, at=100, activation=4, attempt=2))


def test_an_attempt_after_a_retry_has_the_next_number() -> None:
    """Attempts count from 1 without gaps."""
    history = (enqueued(), started(), retry_scheduled(), f.Due(n=4, at=100))
    assert given(*history).when(start(activation=4)).then(started(n=5, activation=4, attempt=2)).state.attempt == 2  # type: ignore[union-attr]


# Steps.


def test_a_step_is_stored() -> None:
    """Its result belongs to the attempt that computed it."""
    step = f.StepCompleted(n=3, at=5, attempt=1, step="extract", started_at=4, result=Raw(b"1"))
    given(enqueued(), started()).when(STEP, now=5).then(step)


def test_a_step_that_is_known_is_not_stored_again() -> None:
    """The first result stays."""
    step = f.StepCompleted(n=3, at=5, attempt=1, step="extract", started_at=4, result=Raw(b"1"))
    given(enqueued(), started(), step).when(STEP, now=9).nothing()


def test_a_step_of_a_closed_activation_is_refused() -> None:
    """A zombie cannot add to what is over."""
    given(enqueued(), started(), DONE).when(STEP).rejected("activation_closed")


# Success and failure.


def test_success_ends_the_execution() -> None:
    """The result is in the fact."""
    given(enqueued(), started()).when(succeed(), now=5).then(DONE)


def test_a_late_success_of_a_lost_attempt_is_refused() -> None:
    """Another runner has the execution by now."""
    given(enqueued(), started(), lost(), f.Due(n=4, at=0)).when(succeed()).rejected("activation_closed")


def test_success_wins_over_a_cancel_that_came_too_late() -> None:
    """The work is done: calling it cancelled would be false."""
    history = (enqueued(), started(), f.CancelRequested(n=3, at=0))
    given(*history).when(succeed(), now=5).then(f.Succeeded(n=4, at=5, attempt=1, result=Raw(b"3")))


def test_failure_without_retries_is_final() -> None:
    """The default is no retry."""
    given(enqueued(), started()).when(fail(), now=5).then(f.Failed(n=3, at=5, attempt=1, error=BOOM))


def test_failure_with_a_retry_left_schedules_it() -> None:
    """The time is the policy's delay after now."""
    given(enqueued(), started()).when(fail(retries=1), now=5).then(retry_scheduled(at=5, retry_at=10_000_005))


def test_failure_of_the_last_retry_is_final() -> None:
    """One retry means two attempts."""
    history = (enqueued(), started(), retry_scheduled(), f.Due(n=4, at=100), started(n=5, activation=4, attempt=2))
    command = fail(activation=4, retries=1)
    given(*history).when(command, now=200).then(f.Failed(n=6, at=200, attempt=2, error=BOOM))


def test_a_lost_attempt_uses_up_no_retry() -> None:
    """Loss of a runner is counted apart from failure."""
    history = (enqueued(), started(), lost(), f.Due(n=4, at=0), started(n=5, activation=4, attempt=2))
    command = fail(activation=4, retries=1)
    given(*history).when(command, now=0).then(retry_scheduled(n=6, attempt=2, retry_at=10_000_000))


def test_the_retries_of_the_call_go_before_those_of_the_function() -> None:
    """`options(retries=0)` means none."""
    history = (enqueued(retries=0), started())
    given(*history).when(fail(retries=5), now=5).then(f.Failed(n=3, at=5, attempt=1, error=BOOM))


def test_the_policy_that_the_first_fact_names_goes_before_that_of_the_function() -> None:
    """A minute after the first failure, two after the second, and no third retry, whatever the function says."""
    minute = 60_000_000
    history = [enqueued(policy="netlify"), started()]
    given(*history).when(fail(retries=9), now=5).then(retry_scheduled(at=5, retry_at=minute + 5))
    history += [retry_scheduled(), f.Due(n=4, at=10), started(n=5, activation=4, attempt=2)]
    given(*history).when(fail(activation=4, retries=9), now=20).then(
        retry_scheduled(n=6, at=20, attempt=2, retry_at=2 * minute + 20)
    )
    history += [retry_scheduled(n=6, attempt=2), f.Due(n=7, at=30), started(n=8, activation=7, attempt=3)]
    given(*history).when(fail(activation=7, retries=9), now=40).then(f.Failed(n=9, at=40, attempt=3, error=BOOM))


def test_a_terminal_failure_is_final_although_retries_are_left() -> None:
    """The function said that trying again is of no use."""
    command = fail(retries=5, terminal=True)
    given(enqueued(), started()).when(command, now=5).then(f.Failed(n=3, at=5, attempt=1, error=BOOM))


def test_retry_after_replaces_the_delay_of_the_policy() -> None:
    """The function knows better."""
    command = fail(retries=1, retry_after=2.5)
    given(enqueued(), started()).when(command, now=5).then(retry_scheduled(at=5, retry_at=2_500_005))


def test_retry_after_in_the_past_means_now() -> None:
    """A time before the failure would fire before it."""
    command = fail(retries=1, retry_after=-3.0)
    given(enqueued(), started()).when(command, now=5).then(retry_scheduled(at=5, retry_at=5))


def test_a_delay_is_bounded() -> None:
    """No time may leave the calendar."""
    command = fail(retries=1, retry_after=float("inf"))
    limit = 5 + delay_seconds_max * 1_000_000
    given(enqueued(), started()).when(command, now=5).then(retry_scheduled(at=5, retry_at=limit))


def test_the_dice_decide_within_the_window() -> None:
    """The default schedule adds uniform(0..10) * (k + 1) seconds."""
    command = fail(policy=RetryPolicy(retries=1))
    expected = retry_scheduled(at=0, retry_at=(1 + 15 + 10) * 1_000_000)
    given(enqueued(), started()).when(command, dice=0.5).then(expected)


def test_success_after_a_forced_cancel_is_a_cancel() -> None:
    """It was to be stopped without delay, and nobody counts on its result any more."""
    history = (enqueued(), started(), f.CancelRequested(n=3, at=0, force=True))
    given(*history).when(succeed(), now=5).then(f.Cancelled(n=4, at=5))


def test_failure_while_cancelling_is_a_cancel() -> None:
    """There is no retry of what somebody wants stopped."""
    history = (enqueued(), started(), f.CancelRequested(n=3, at=0))
    given(*history).when(fail(retries=5), now=5).then(f.Cancelled(n=4, at=5))


# Loss.


def test_a_lost_attempt_is_taken_up_again_at_once() -> None:
    """One fact says that it was lost, the next makes it runnable."""
    command = c.LoseAttempt(activation=1)
    given(enqueued(), started()).when(command, now=5).then(lost(at=5), f.Due(n=4, at=5))


def test_losing_what_nobody_started_decides_nothing() -> None:
    """It is still in the queue."""
    given(enqueued()).when(c.LoseAttempt(activation=1)).nothing()


def test_losing_a_closed_activation_is_refused() -> None:
    """Two sweeps that see the same lapse append once."""
    given(enqueued(), started(), DONE).when(c.LoseAttempt(activation=1)).rejected("activation_closed")


def _losses(count: int, reason: str = "lapsed") -> list[f.AnyFact]:
    history: list[f.AnyFact] = [enqueued()]
    for number in range(1, count + 1):
        activation = history[-1].n
        history.append(started(n=activation + 1, activation=activation, attempt=number))
        history.append(lost(n=activation + 2, attempt=number, activation=activation, reason=reason))
        history.append(f.Due(n=activation + 3, at=0))
    activation = history[-1].n
    history.append(started(n=activation + 1, activation=activation, attempt=count + 1))
    return history


def test_the_third_loss_fails_the_execution() -> None:
    """What kills every runner that touches it must not kill them all."""
    history = _losses(losses_max - 1)
    activation = history[-2].n
    outcome = given(*history).when(c.LoseAttempt(activation=activation), now=5)
    assert isinstance(outcome.answer, list)
    assert [f.kind_of(fact) for fact in outcome.answer] == ["attempt_lost", "failed"]
    assert outcome.state is not None
    assert outcome.state.error is not None
    assert outcome.state.error.code == "runner_lost"


@pytest.mark.parametrize(("losses", "then"), [(1, ["attempt_lost", "failed"]), (2, ["attempt_lost", "due"])])
def test_a_function_may_say_how_many_losses_end_it(losses: int, then: list[str]) -> None:
    """Its number travels in `started`: who finds that the runner is gone does not know the function."""
    begin = c.Start(activation=1, runner="r1", losses=losses)
    first = given(enqueued()).when(begin, now=1).answer
    assert isinstance(first, list)
    answer = given(enqueued(), *first).when(c.LoseAttempt(activation=1), now=5).answer
    assert isinstance(answer, list)
    assert [f.kind_of(fact) for fact in answer] == then


def test_attempts_handed_back_are_no_losses() -> None:
    """A runner that stops in good order may do so as often as it likes."""
    history = _losses(losses_max + 2, reason="drained")
    activation = history[-2].n
    outcome = given(*history).when(c.LoseAttempt(activation=activation, reason="drained"))
    assert isinstance(outcome.answer, list)
    assert [f.kind_of(fact) for fact in outcome.answer] == ["attempt_lost", "due"]


def test_a_loss_while_cancelling_is_a_cancel() -> None:
    """Nobody is left to be asked."""
    history = (enqueued(), started(), f.CancelRequested(n=3, at=0))
    given(*history).when(c.LoseAttempt(activation=1), now=5).then(f.Cancelled(n=4, at=5))


# Wake-ups.


def test_a_wake_up_at_its_time_makes_a_delayed_execution_runnable() -> None:
    """The delay is over."""
    given(enqueued(run_at=100)).when(WAKE, now=100).then(f.Due(n=2, at=100))


def test_a_wake_up_before_its_time_decides_nothing() -> None:
    """Never early."""
    given(enqueued(run_at=100)).when(WAKE, now=99).nothing()


def test_a_wake_up_after_a_backoff_makes_it_runnable() -> None:
    """The next attempt may start."""
    given(enqueued(), started(), retry_scheduled(retry_at=100)).when(WAKE, now=100).then(f.Due(n=4, at=100))


def test_a_second_wake_up_decides_nothing() -> None:
    """It is runnable already."""
    given(enqueued(run_at=100), f.Due(n=2, at=100)).when(WAKE, now=101).nothing()


def test_a_wake_up_after_a_cancel_decides_nothing() -> None:
    """It is over."""
    given(enqueued(run_at=100), f.Cancelled(n=2, at=50)).when(WAKE, now=100).nothing()


def test_a_wake_up_of_the_time_before_it_was_moved_decides_nothing() -> None:
    """Only the newest time counts."""
    given(enqueued(run_at=100), f.Rescheduled(n=2, at=1, run_at=500)).when(WAKE, now=100).nothing()


def test_a_wake_up_after_discard_at_discards() -> None:
    """It was not started in time."""
    given(enqueued(run_at=100, discard_at=150)).when(WAKE, now=150).then(f.Discarded(n=2, at=150))


def test_a_wake_up_discards_what_waits_in_the_queue_past_its_time() -> None:
    """Without a runner nobody else would say so."""
    given(enqueued(discard_at=150)).when(WAKE, now=150).then(f.Discarded(n=2, at=150))


def test_a_wake_up_does_not_discard_what_has_started() -> None:
    """`discard_at` is about the start."""
    given(enqueued(discard_at=150), started()).when(WAKE, now=200).nothing()


def test_a_wake_up_does_not_discard_what_has_ended() -> None:
    """Nothing follows a final fact."""
    given(enqueued(discard_at=150), f.Cancelled(n=2, at=50)).when(WAKE, now=200).nothing()


# Cancel.


def test_cancel_before_the_start_is_final_at_once() -> None:
    """Nobody has to be asked."""
    given(enqueued()).when(ASKED, now=5).then(f.Cancelled(n=2, at=5))


def test_cancel_during_a_backoff_is_final_at_once() -> None:
    """No attempt runs."""
    given(enqueued(), started(), retry_scheduled()).when(ASKED, now=5).then(f.Cancelled(n=4, at=5))


def test_cancel_of_a_running_execution_is_a_request() -> None:
    """Its runner stops it and confirms."""
    given(enqueued(), started()).when(ASKED, now=5).then(f.CancelRequested(n=3, at=5))


def test_cancel_of_what_has_not_started_leaves_a_later_attempt_alone() -> None:
    """Whoever wants only that is told the state when it has begun meanwhile."""
    fresh, second = c.RequestCancel(attempts_max=0), c.RequestCancel(attempts_max=1)
    given(enqueued()).when(fresh, now=5).then(f.Cancelled(n=2, at=5))
    given(enqueued(), started()).when(fresh).rejected("wrong_state")
    given(enqueued(), started(), retry_scheduled()).when(fresh).rejected("wrong_state")
    given(enqueued(), started(), retry_scheduled()).when(second, now=5).then(f.Cancelled(n=4, at=5))


def test_cancel_again_decides_nothing() -> None:
    """It was asked already."""
    given(enqueued(), started(), f.CancelRequested(n=3, at=0)).when(ASKED).nothing()


def test_force_after_a_plain_cancel_is_stored() -> None:
    """The runner must learn that it need not wait any longer."""
    history = (enqueued(), started(), f.CancelRequested(n=3, at=0))
    given(*history).when(FORCED, now=5).then(f.CancelRequested(n=4, at=5, force=True))


def test_force_again_decides_nothing() -> None:
    """There is nothing stronger."""
    given(enqueued(), started(), f.CancelRequested(n=3, at=0, force=True)).when(FORCED).nothing()


def test_cancel_of_a_cancelled_execution_decides_nothing() -> None:
    """It is what the caller wants."""
    given(enqueued(), f.Cancelled(n=2, at=0)).when(ASKED).nothing()


def test_cancel_of_a_succeeded_execution_is_refused() -> None:
    """It cannot be undone."""
    given(enqueued(), started(), DONE).when(ASKED).rejected("wrong_state")


def test_a_confirmed_cancel_is_final() -> None:
    """The runner stopped the attempt."""
    history = (enqueued(), started(), f.CancelRequested(n=3, at=0))
    given(*history).when(c.ConfirmCancel(activation=1), now=5).then(f.Cancelled(n=4, at=5))


def test_a_cancel_confirmed_by_a_zombie_is_refused() -> None:
    """Its activation is over."""
    given(enqueued(), started(), DONE).when(c.ConfirmCancel(activation=1)).rejected("activation_closed")


# Reschedule.


def test_a_delayed_execution_can_be_moved() -> None:
    """To a later or an earlier time."""
    command = c.Reschedule(run_at=500)
    given(enqueued(run_at=100)).when(command, now=5).then(f.Rescheduled(n=2, at=5, run_at=500))


def test_a_queued_execution_can_be_put_off() -> None:
    """Its item in the queue is void from then on."""
    history = (enqueued(), f.Rescheduled(n=2, at=5, run_at=500))
    given(enqueued()).when(c.Reschedule(run_at=500), now=5).then(history[1])
    given(*history).when(start()).rejected("activation_closed")


def test_reschedule_to_now_makes_a_delayed_execution_runnable() -> None:
    """Without a time it means now."""
    given(enqueued(run_at=100)).when(c.Reschedule(), now=5).then(f.Due(n=2, at=5))


def test_reschedule_to_the_past_means_now() -> None:
    """Nothing can start earlier."""
    given(enqueued(run_at=100)).when(c.Reschedule(run_at=3), now=5).then(f.Due(n=2, at=5))


def test_reschedule_to_now_leaves_a_queued_execution_in_its_place() -> None:
    """It does not go to the end of the queue."""
    given(enqueued()).when(c.Reschedule(), now=5).nothing()


def test_reschedule_beyond_discard_at_is_stored_where_that_is_meant() -> None:
    """Then it is discarded in time; else it would be a mistake."""
    late = c.Reschedule(run_at=500, or_discard=True)
    given(enqueued(discard_at=100)).when(late, now=5).then(f.Rescheduled(n=2, at=5, run_at=500))
    given(enqueued(discard_at=100)).when(c.Reschedule(run_at=500), now=5).rejected("invalid_option")


def test_reschedule_of_a_running_execution_is_refused() -> None:
    """It cannot be moved."""
    given(enqueued(), started()).when(c.Reschedule(run_at=500)).rejected("wrong_state")


def test_reschedule_of_an_ended_execution_is_refused() -> None:
    """Rerun makes a new one."""
    given(enqueued(), f.Cancelled(n=2, at=0)).when(c.Reschedule(run_at=500)).rejected("wrong_state")
