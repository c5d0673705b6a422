"""The attempts of an execution as Defer lists them."""

from typing import Any

import pytest
from msgspec import Raw

from penstock.defer.attempts import Attempt, attempts_of
from penstock.domain.execution import facts as f
from unit.histories import BOOM, enqueued, lost, retry_scheduled, started

FAILED_ONCE = (enqueued(at=1), started(at=2), retry_scheduled(at=3, retry_at=100))
DONE = f.Succeeded(n=9, at=9, attempt=1, result=Raw(b"3"))
OTHER = f.ErrorInfo(code="timed_out")


def states(*facts: Any) -> list[str]:
    return [attempt.state for attempt in attempts_of(facts)]


def test_the_first_attempt_is_there_from_the_beginning() -> None:
    """It is to start at once, or at the end of the delay."""
    (attempt,) = attempts_of([enqueued(at=7)])
    assert attempt == Attempt(number=1, state="created", created_at=7, scheduled_at=7, updated_at=7)
    assert attempts_of([enqueued(at=7, run_at=100)])[0].scheduled_at == 100


def test_a_started_attempt_keeps_its_scheduled_time() -> None:
    """Its own times follow."""
    (attempt,) = attempts_of([enqueued(run_at=100), f.Due(n=2, at=101), started(n=3, at=102)])
    assert (attempt.state, attempt.scheduled_at, attempt.started_at) == ("started", 100, 102)


def test_a_reschedule_moves_it() -> None:
    """Later, and back to now."""
    moved = (enqueued(run_at=100), f.Rescheduled(n=2, at=5, run_at=200))
    assert attempts_of(moved)[0].scheduled_at == 200
    assert attempts_of([*moved, f.Due(n=3, at=6)])[0].scheduled_at == 6


def test_a_retry_that_waits_is_an_attempt_to_come() -> None:
    """With the failure the next one is `created`, at the time of the retry."""
    first, second = attempts_of(FAILED_ONCE)
    assert (first.state, first.error, first.updated_at) == ("failed", BOOM, 3)
    assert (second.number, second.state, second.created_at, second.scheduled_at) == (2, "created", 3, 100)


def test_a_retry_starts_when_it_starts() -> None:
    """And ends as the execution does."""
    facts = (*FAILED_ONCE, f.Due(n=4, at=101), started(n=5, at=102, activation=4, attempt=2))
    assert states(*facts) == ["failed", "started"]
    assert states(*facts, DONE) == ["failed", "succeed"]
    assert attempts_of(facts)[1].scheduled_at == 100


def test_one_that_goes_on_after_a_wait_stays_the_same_attempt() -> None:
    """It was started all the time."""
    facts = (enqueued(), started(), f.Suspended(n=3, at=3), f.Woken(n=4, at=4, wait="w", outcome="elapsed"))
    assert states(*facts, started(n=5, at=5, activation=4)) == ["started"]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ((f.Cancelled(n=2, at=2),), ["cancelled"]),
        ((f.Discarded(n=2, at=2),), ["discarded"]),
        ((f.Failed(n=2, at=2, attempt=0, error=OTHER),), ["failed"]),
        ((started(), f.CancelRequested(n=3, at=3)), ["aborting"]),
        ((started(), f.CancelRequested(n=3, at=3), f.Cancelled(n=4, at=4)), ["aborted"]),
        ((started(), f.Suspended(n=3, at=3), f.Cancelled(n=4, at=4)), ["aborted"]),
        ((started(), retry_scheduled(), f.Cancelled(n=4, at=4)), ["failed", "cancelled"]),
        ((started(), retry_scheduled(), f.Failed(n=4, at=4, attempt=1, error=OTHER)), ["failed"]),
        ((started(), lost(), f.Due(n=4, at=4)), ["failed", "created"]),
        ((started(), lost(), f.Failed(n=4, at=4, attempt=1, error=OTHER)), ["failed"]),
        ((started(), lost(reason="drained"), f.Due(n=4, at=4)), ["aborted", "created"]),
        ((started(), f.Paused(n=3, at=3, attempt=1, error=BOOM), f.Resumed(n=4, at=4)), ["failed", "created"]),
        ((f.Joined(n=2, at=2, leader="l", reason="singleton"), DONE), ["succeed"]),
    ],
)
def test_every_way_to_end_has_its_word(facts: tuple[Any, ...], words: list[str]) -> None:
    """What had been announced and does not come is not listed, unless somebody cancelled just that."""
    assert states(enqueued(), *facts) == words


def test_the_error_of_an_attempt_is_its_own() -> None:
    """The time of the whole execution may be over later; that does not change what made the attempt fail."""
    (attempt,) = attempts_of([*FAILED_ONCE, f.Failed(n=4, at=4, attempt=1, error=OTHER)])
    assert attempt.error == BOOM
