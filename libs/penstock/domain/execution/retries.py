"""When the next attempt may start. The dice are an argument: a number in [0, 1)."""

import sys
from typing import Literal

import msgspec

Shape = Literal["quartic", "exponential", "linear", "fixed"]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often and when a failed attempt is tried again. Times are seconds.

    `quartic` is the default and Defer's published schedule: the k-th retry comes k^4 + 15 + uniform(0..10) * (k + 1)
    seconds after the failure. `exponential` is initial * factor^(k-1), `linear` initial * k, `fixed` always initial;
    these three are capped at `cap` and then spread: with `jitter` j the delay lies uniformly in [d * (1 - j), d].
    """

    retries: int = 0
    shape: Shape = "quartic"
    initial: float = 1.0
    factor: float = 2.0
    cap: float = 3600.0
    jitter: float = 0.0


NETLIFY = "netlify"

NAMED: dict[str, RetryPolicy] = {
    NETLIFY: RetryPolicy(retries=2, shape="linear", initial=60.0),
}
"""Policies that a first fact may name in place of its function's own. A name means the same for as long as the log.

`netlify`: one minute after the first failure, two minutes after the second, as background functions have it there.
"""


def policy_for(name: str, declared: RetryPolicy) -> RetryPolicy:
    """The policy of an execution: the one that its first fact names, else what its function declared."""
    return NAMED.get(name, declared)


def retry_delay(policy: RetryPolicy, k: int, dice: float) -> float:
    """Seconds between the failure and the k-th retry (k = 1, 2, 3, ...)."""
    match policy.shape:
        case "quartic":
            return float(k**4) + 15.0 + dice * 10.0 * (k + 1)
        case "exponential":
            delay = policy.initial * _power(policy.factor, k - 1)
        case "linear":
            delay = policy.initial * k
        case "fixed":
            delay = policy.initial
    delay = min(delay, policy.cap)
    return delay * (1.0 - policy.jitter * dice)


def delay_window(policy: RetryPolicy, k: int) -> tuple[float, float]:
    """The shortest and the longest delay that `retry_delay` may give."""
    ends = sorted((retry_delay(policy, k, 0.0), retry_delay(policy, k, 1.0)))
    return ends[0], ends[1]


def _power(factor: float, exponent: int) -> float:
    """The power, or the largest number there is: a cap is looked at only after it, and must still find a number."""
    try:
        return factor**exponent
    except OverflowError:
        return sys.float_info.max
