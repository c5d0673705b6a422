"""Attempts that are completed by callback: which wait, and what its end means."""

import pytest

from penstock.domain.limits import http_seconds_max
from penstock.functions.actions import Outcome
from penstock_runner.places.callback import callback_key, ending_by_callback, wait_for_callback
from penstock_runner.places.web import SECONDS_DEFAULT, patience
from penstock_runner.workers.assignment import Killed
from penstock_runner.workers.messages import Raised, Returned


def over(n: int, outcome: str, attempt: int = 1, message: str = "") -> Outcome:
    """A callback that is over, as the log has it."""
    code = "rejected" if outcome == "rejected" else ""
    return Outcome(
        kind="wait", n=n, at=n, position=attempt, done=True, outcome=outcome, value=b"7", code=code, message=message
    )  # fmt: skip


def test_attempts_share_a_token_until_it_has_timed_out() -> None:
    """Then the next has another, so that a late callback cannot be taken for its own."""
    first = {"callback": over(3, "timed_out")}
    assert callback_key({}) == "callback"
    assert callback_key(first) == "callback#2"
    assert callback_key({**first, "callback#2": over(6, "timed_out", 2)}) == "callback#3"


def test_a_202_opens_a_wait_that_holds_no_slot() -> None:
    """Until the time-out, or for as long as it takes."""
    action = wait_for_callback("callback", 3, 1.5)
    assert (action.suspends, action.blocked) == (True, ["callback"])
    assert (action.waits[0].wait, action.waits[0].until, action.waits[0].position) == ("token", 1_500_000, 3)
    assert wait_for_callback("callback", 3, None).waits[0].until is None


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_value_that_came_counts_for_every_attempt(attempt: int) -> None:
    """Also for one that begins after the runner was lost, and after a wait that timed out."""
    assert ending_by_callback(5, attempt, {"callback": over(3, "completed")}) == Returned(5, b"7")
    both = {"callback": over(3, "timed_out"), "callback#2": over(6, "completed", 2)}
    assert ending_by_callback(5, 2, both) == Returned(5, b"7")


def test_a_failure_that_was_reported_is_final() -> None:
    """With what was said about it."""
    ending = ending_by_callback(5, 1, {"callback": over(3, "rejected", message="no")})
    assert isinstance(ending, Raised)
    assert (ending.code, ending.message, ending.terminal) == ("user_error", "no", True)


def test_a_wait_that_timed_out_ends_only_the_attempt_that_waited() -> None:
    """The next one asks again."""
    outcomes = {"callback": over(3, "timed_out", 1)}
    assert ending_by_callback(5, 1, outcomes) == Killed("timed_out", "The callback did not come in time.")
    assert ending_by_callback(5, 2, outcomes) is None


def test_without_a_callback_nothing_is_over() -> None:
    """The request is sent."""
    assert ending_by_callback(5, 1, {}) is None


def test_a_request_takes_an_hour_at_most() -> None:
    """A function that sets a time-out may want it for its callback; one without gets a minute."""
    assert patience(None) == SECONDS_DEFAULT
    assert patience(1.0) == patience(1e6) == http_seconds_max
