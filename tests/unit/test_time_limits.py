"""The time for the whole execution: what happens when it is over, wherever the execution is."""

import pytest

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.create import same_time
from penstock.testing.given import given
from unit.histories import BOOM, enqueued, fail, lost, retry_scheduled, start, started

WAKE = c.WakeUp()
LATE = f.ErrorInfo(code="timed_out", message="The execution did not end within its total_timeout.")
CREATED = enqueued(deadline_at=100)


def failed(n: int, attempt: int = 0, error: f.ErrorInfo = LATE, at: int = 100) -> f.Failed:
    return f.Failed(n=n, at=at, attempt=attempt, error=error)


def test_what_has_not_started_by_then_fails() -> None:
    """Whoever looks first says so."""
    given(CREATED).when(WAKE, now=100).then(failed(2))
    given(CREATED).when(start(), now=100).then(failed(2))


def test_just_before_it_nothing_is_over() -> None:
    """The last microsecond counts."""
    given(CREATED).when(WAKE, now=99).nothing()
    given(CREATED).when(start(), now=99).then(started(at=99))


def test_what_waits_for_a_retry_fails() -> None:
    """As timed out: its last error has been told already."""
    history = (CREATED, started(), retry_scheduled(retry_at=5000))
    given(*history).when(WAKE, now=100).then(failed(4, attempt=1))


def test_what_waits_for_something_fails() -> None:
    """However long the wait was meant to be."""
    wait = f.Wait(key="sleep", wait="sleep", until=5000)
    history = (CREATED, started(), f.WaitOpened(n=3, at=10, waits=[wait], suspends=True, wakes_at=5000))
    given(*history).when(WAKE, now=99).nothing()
    given(*history).when(WAKE, now=100).then(failed(4, attempt=1))


def test_steps_that_can_be_undone_are_undone_first() -> None:
    """As before any other failure; the time for that is not bounded."""
    done = f.StepCompleted(n=3, at=5, attempt=1, step="book", started_at=4, undo=True)
    history = (CREATED, started(), done, lost(n=4), f.Due(n=5, at=6))
    undoing = f.Compensating(n=6, at=100, outcome="failed", error=LATE)
    given(*history).when(WAKE, now=100).then(undoing, f.Due(n=7, at=100))
    given(*history, undoing, f.Due(n=7, at=100)).when(WAKE, now=200).nothing()


def test_what_runs_is_left_to_its_runner() -> None:
    """It has the timer, and can stop the code."""
    given(CREATED, started()).when(WAKE, now=500).nothing()


def test_a_failure_after_it_is_the_last() -> None:
    """No retry could end in time."""
    given(CREATED, started()).when(fail(retries=5), now=100).then(failed(3, attempt=1, error=BOOM))


def test_a_failure_before_it_is_retried() -> None:
    """There may be time enough."""
    given(CREATED, started()).when(fail(retries=5), now=99).then(retry_scheduled(at=99, retry_at=99 + 10_000_000))


def test_a_final_state_stays_as_it_is() -> None:
    """The wake-up came too late."""
    given(CREATED, f.Cancelled(n=2, at=50)).when(WAKE, now=200).nothing()


@pytest.mark.parametrize(("run_at", "allowed"), [(99, True), (100, False)])
def test_a_start_after_it_is_refused(run_at: int, allowed: bool) -> None:
    """It would fail without having been tried."""
    outcome = given(enqueued(run_at=50, deadline_at=100)).when(c.Reschedule(run_at=run_at), now=10)
    if allowed:
        outcome.then(f.Rescheduled(n=2, at=10, run_at=run_at))
    else:
        outcome.rejected("invalid_option")


def test_a_rerun_has_as_much_time() -> None:
    """Counted from its own start."""
    assert same_time(enqueued(at=10, deadline_at=110), 1000) == 1100
    assert same_time(enqueued(at=10, run_at=60, deadline_at=110), 1000) == 1050
    assert same_time(enqueued(at=10), 1000) is None
