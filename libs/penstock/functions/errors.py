"""What a function may raise to steer its retries."""

from datetime import timedelta

from penstock.domain.durations import seconds


class Terminal(Exception):  # noqa: N818 - it reads as a claim: "this failure is terminal"
    """The execution fails now; no retry could help."""


class RetryAfter(Exception):  # noqa: N818
    """The attempt failed; try again after `delay` instead of the policy's own. It uses up a retry like any failure."""

    def __init__(self, delay: str | float | timedelta, message: str = "") -> None:
        self.delay = seconds(delay, "RetryAfter")
        super().__init__(message or f"Try again after {self.delay:g} seconds.")


class ResultNotSerialisable(Exception):  # noqa: N818
    """A result, or the result of a step, that JSON cannot carry without changing it."""


class Stopped(BaseException):
    """Raised inside a running plain function whose execution was cancelled. Clean up and let it pass."""
