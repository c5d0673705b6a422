"""Attempts that are completed by callback: the wait that a 202 opens, and what its end means. Pure.

All attempts share one token until a callback has timed out: whoever drops a repeated request answers for both, and
what was completed while the runner was not looking counts all the same.
"""

from collections.abc import Mapping

from penstock.functions.actions import OpenWaits, Outcome, WaitFor
from penstock_runner.workers.assignment import Ending, Killed
from penstock_runner.workers.messages import Raised, Returned

_NAME = "callback"


def callback_key(outcomes: Mapping[str, Outcome]) -> str:
    """The key of the wait that is open, or would be opened next."""
    over = sum(known.outcome == "timed_out" for known in outcomes.values())
    return _NAME if not over else f"{_NAME}#{over + 1}"


def wait_for_callback(key: str, attempt: int, until: float | None) -> OpenWaits:
    """Wait at most until then (seconds since the epoch). The attempt stands in the place of a position in code."""
    time = None if until is None else round(until * 1_000_000)
    return OpenWaits([WaitFor(key, "token", position=attempt, until=time)], [key], suspends=True)


def ending_by_callback(number: int, attempt: int, outcomes: Mapping[str, Outcome]) -> Ending | None:
    """How callbacks end this attempt, if they do: with what came, or because this attempt waited in vain."""
    for known in sorted(outcomes.values(), key=lambda each: each.n):
        if known.outcome == "completed":
            return Returned(number, known.value)
        if known.outcome == "rejected":
            message = known.message or "The callback reported a failure."
            return Raised(number, "user_error", "Rejected", message, "", terminal=True)
        if known.outcome == "timed_out" and known.position == attempt:
            return Killed("timed_out", "The callback did not come in time.")
    return None
