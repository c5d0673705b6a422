"""Retry schedules as authors write them."""

from datetime import timedelta
from typing import Any

import msgspec

from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.limits import retries_max

Duration = str | float | timedelta


class Retry(msgspec.Struct, frozen=True):
    """Exponential: the k-th retry comes initial * factor^(k-1) after it, at most `cap`, less up to `jitter` of that."""

    initial: Duration = "1s"
    factor: float = 2.0
    cap: Duration = "1h"
    jitter: float = 0.0


class Linear(msgspec.Struct, frozen=True):
    """The k-th retry comes initial * k after the failure, at most `cap`, less up to `jitter` of it."""

    initial: Duration = "1s"
    cap: Duration = "1h"
    jitter: float = 0.0


class Fixed(msgspec.Struct, frozen=True):
    """Every retry comes `delay` after the failure, less up to `jitter` of it."""

    delay: Duration = "1s"
    jitter: float = 0.0


class Quartic(msgspec.Struct, frozen=True):
    """The k-th retry comes k^4 + 15 + random(0..10) * (k + 1) seconds after the failure.

    What functions have without a backoff: the schedule that Defer published (16 to 36 s, 31 to 61 s, 96 to 136 s, ...).
    """


Backoff = Retry | Linear | Fixed | Quartic


def policy(retries: int, backoff: Backoff | None) -> RetryPolicy:
    """The policy of a function; without a backoff, the default schedule. Raises Rejected `invalid_duration`."""
    shape: dict[str, Any] = {}
    match backoff:
        case Retry():
            shape = {
                "shape": "exponential",
                "initial": seconds(backoff.initial, "backoff.initial"),
                "factor": float(backoff.factor),
                "cap": seconds(backoff.cap, "backoff.cap"),
                "jitter": float(backoff.jitter),
            }
        case Linear():
            shape = {
                "shape": "linear",
                "initial": seconds(backoff.initial, "backoff.initial"),
                "cap": seconds(backoff.cap, "backoff.cap"),
                "jitter": float(backoff.jitter),
            }
        case Fixed():
            delay = seconds(backoff.delay, "backoff.delay")
            shape = {"shape": "fixed", "initial": delay, "cap": delay, "jitter": float(backoff.jitter)}
        case Quartic():
            shape = {"shape": "quartic"}
    return RetryPolicy(retries=retries, **shape)


STEP_RETRIES = 3
"""Retries of a step that is given a backoff and no number."""
STEP_BACKOFF = Retry(initial="1s", factor=2.0, cap="1m", jitter=0.5)


def step_policy(retry: int | Backoff, backoff: Backoff | None, where: str) -> RetryPolicy:
    """The policy of a step: a number of retries, a backoff, or both. Raises Rejected."""
    if isinstance(retry, Backoff):
        return policy(STEP_RETRIES, retry)
    if isinstance(retry, bool) or not isinstance(retry, int) or not 0 <= retry <= retries_max:
        raise Rejected("invalid_option", f"retry of {where} is 0 to {retries_max}, or a backoff, not {retry!r:.80}.")
    return policy(retry, backoff or STEP_BACKOFF)
