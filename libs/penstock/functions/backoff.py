"""Retry schedules as authors write them."""

from datetime import timedelta
from typing import Any

import msgspec

from penstock.domain.durations import seconds
from penstock.domain.execution.retries import RetryPolicy

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


Backoff = Retry | Linear | Fixed


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
    return RetryPolicy(retries=retries, **shape)
