"""What each fact changes in an execution."""

from typing import Any

import pytest
from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve import evolve, fold
from penstock.domain.execution.state import Execution, State
from penstock.testing.given import EXECUTION_ID
from unit.histories import BOOM, enqueued, lost, retry_scheduled, started


def after(*facts: f.AnyFact | f.Unknown) -> Execution:
    """The state after these facts at positions 11, 12, ..."""
    state = fold(EXECUTION_ID, enumerate(facts, start=11))
    assert state is not None
    return state


def test_no_facts_are_no_execution() -> None:
    """There is nothing to fold."""
    assert fold(EXECUTION_ID, []) is None


def test_only_enqueued_may_come_first() -> None:
    """A history without its beginning is not folded into something false."""
    with pytest.raises(ValueError, match="enqueued"):
        evolve(None, EXECUTION_ID, f.Due(n=1, at=0))


def test_enqueued_opens_the_first_activation() -> None:
    """It is runnable at once."""
    state = after(enqueued(at=7, metadata={"user": "u1"}))
    assert (state.state, state.activation, state.attempt, state.created_at) == (State.QUEUED, 1, 0, 7)
    assert state.metadata == {"user": "u1"}


def test_enqueued_with_a_time_is_scheduled() -> None:
    """It is not runnable before."""
    state = after(enqueued(run_at=100))
    assert (state.state, state.activation, state.wakes_at) == (State.SCHEDULED, 0, 100)


def test_enqueued_and_gated_waits_for_admission() -> None:
    """It is shown as queued but nobody may take it."""
    state = after(enqueued(gated=True))
    assert (state.state, state.activation, state.wakes_at) == (State.QUEUED, 0, None)


def test_due_opens_an_activation() -> None:
    """The fact's own number names it."""
    state = after(enqueued(run_at=100), f.Due(n=2, at=100))
    assert (state.state, state.activation, state.wakes_at) == (State.QUEUED, 2, None)


def test_a_retry_does_not_change_when_it_was_due() -> None:
    """That is about the first start, and moves with it only."""
    assert after(enqueued(at=7)).due_at == 7
    moved = (enqueued(run_at=100), f.Rescheduled(n=2, at=5, run_at=200))
    assert after(*moved).due_at == 200
    again = (started(n=3), retry_scheduled(n=4, retry_at=300), f.Due(n=5, at=301))
    assert after(*moved, *again).due_at == 200


def test_started_sets_owner_and_attempt() -> None:
    """The first start is kept."""
    state = after(enqueued(), started(at=9))
    assert (state.state, state.owner, state.attempt, state.started_at) == (State.RUNNING, "r1", 1, 9)


def test_the_first_start_is_kept_over_a_retry() -> None:
    """`started_at` is about the execution, not the attempt."""
    second = started(n=5, at=200, activation=4, attempt=2)
    state = after(enqueued(), started(at=9), retry_scheduled(), f.Due(n=4, at=100), second)
    assert (state.started_at, state.attempt) == (9, 2)


def test_a_step_is_remembered() -> None:
    """Its result can be replayed."""
    step = f.StepCompleted(n=3, at=5, attempt=1, step="extract", started_at=4, result=Raw(b"1"), result_ref="x")
    assert after(enqueued(), started(), step).steps == {"extract": (Raw(b"1"), "x")}


def test_success_is_final() -> None:
    """Nothing is open any more."""
    state = after(enqueued(), started(), f.Succeeded(n=3, at=5, attempt=1))
    assert (state.state, state.is_final, state.activation, state.owner) == (State.SUCCEEDED, True, 0, "")
    assert (state.finished_at, state.error) == (5, None)


def test_success_after_a_retry_shows_no_error() -> None:
    """The error belongs to the earlier attempt."""
    second = started(n=5, at=200, activation=4, attempt=2)
    done = f.Succeeded(n=6, at=300, attempt=2)
    assert after(enqueued(), started(), retry_scheduled(), f.Due(n=4, at=100), second, done).error is None


def test_failure_shows_its_error() -> None:
    """The last one."""
    state = after(enqueued(), started(), f.Failed(n=3, at=5, attempt=1, error=BOOM))
    assert (state.state, state.error) == (State.FAILED, BOOM)


@pytest.mark.parametrize(
    ("fact", "final"),
    [(f.Cancelled(n=2, at=5), State.CANCELLED), (f.Discarded(n=2, at=5), State.DISCARDED)],
)
def test_an_end_without_an_attempt_has_an_error_code(fact: f.AnyFact, final: State) -> None:
    """The reason can be read by programs."""
    state = after(enqueued(), fact)
    assert state.state is final
    assert state.error is not None
    assert state.error.code == final.value


def test_retry_scheduled_closes_the_activation_and_counts_a_failure() -> None:
    """It waits for its time."""
    state = after(enqueued(), started(), retry_scheduled(retry_at=100))
    assert (state.state, state.activation, state.owner) == (State.RETRYING, 0, "")
    assert (state.failures, state.wakes_at, state.error) == (1, 100, BOOM)


def test_a_lapse_counts_as_a_loss() -> None:
    """The poison guard looks at it."""
    assert after(enqueued(), started(), lost()).losses == 1


def test_handing_back_counts_as_no_loss() -> None:
    """The runner stopped in good order."""
    assert after(enqueued(), started(), lost(reason="drained")).losses == 0


def test_rescheduled_closes_the_activation() -> None:
    """The item in the queue is void."""
    state = after(enqueued(), f.Rescheduled(n=2, at=1, run_at=500))
    assert (state.state, state.activation, state.wakes_at) == (State.SCHEDULED, 0, 500)


def test_a_cancel_request_keeps_the_owner() -> None:
    """It has to stop the attempt."""
    state = after(enqueued(), started(), f.CancelRequested(n=3, at=5))
    assert (state.state, state.owner, state.activation, state.cancel_forced) == (State.CANCELLING, "r1", 1, False)


def test_force_stays() -> None:
    """A plain request after it takes nothing back."""
    forced = f.CancelRequested(n=3, at=5, force=True)
    assert after(enqueued(), started(), forced, f.CancelRequested(n=4, at=6)).cancel_forced


def test_an_unknown_fact_only_moves_the_number() -> None:
    """A newer program's facts do not stop an older one."""
    before = after(enqueued(), started())
    unknown = f.Unknown(n=3, at=8, raw=Raw(b"{}"), name="blessed")
    state = after(enqueued(), started(), unknown)
    assert (state.n, state.sequence, state.updated_at) == (3, 13, 8)
    assert (state.state, state.activation, state.owner) == (before.state, before.activation, before.owner)


def test_the_state_has_what_the_first_fact_says_of_it() -> None:
    """Every field that both have under one name."""
    both = sorted(set(f.Enqueued.__struct_fields__) & set(Execution.__struct_fields__) - {"n", "id"})
    said: dict[str, Any] = {name: f"<{name}>" for name in both}
    state = evolve(None, EXECUTION_ID, f.Enqueued(n=1, at=5, **said))
    assert {name: getattr(state, name) for name in both} == said
