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


class StepFailed(Exception):  # noqa: N818
    """A step with a retry policy of its own has failed for good. Stored: every replay raises the same.

    `code`, `type`, `message` and `stack` are those of the error that its function raised last.
    """

    def __init__(self, step: str, code: str, type: str, message: str, stack: str = "") -> None:  # noqa: A002
        super().__init__(f"Step {step} failed: {f'{type}: ' if type else ''}{message}")
        self.step = step
        self.code = code
        self.type = type
        self.message = message
        self.stack = stack


class StepInterrupted(Exception):  # noqa: N818
    """A step that may run at most once was begun by an earlier attempt, and nobody knows whether it was done."""

    def __init__(self, step: str) -> None:
        super().__init__(f"Step {step} was begun before and may have been done; it is not run twice.")
        self.step = step


class StepTimedOut(TimeoutError):  # noqa: N818
    """The function of a step took longer than the step's `timeout`."""


class TokenRejected(Exception):  # noqa: N818
    """Whoever was asked by a token said no."""


class Diverged(BaseException):
    """The code does something else than what its stored history says that it did: it was changed meanwhile.

    Not an Exception: code that survives errors must not go on with the history of other code.
    """

    def __init__(self, position: int, expected: str, actual: str) -> None:
        place = f"Operation {position}" if position else "An operation"
        super().__init__(f"{place} was {expected!r} when this execution ran before and is {actual!r} in this code.")
        self.expected = expected
        self.actual = actual


class CompensationPoint(BaseException):
    """Raised in code that is replayed only to learn what must be undone, where its history ends."""


class Stopped(BaseException):
    """Raised inside a running plain function whose execution was cancelled. Clean up and let it pass."""


class BatchMismatch(TypeError):  # noqa: N818 - it reads as a claim
    """A function that runs in batches did not return one element for each item."""
