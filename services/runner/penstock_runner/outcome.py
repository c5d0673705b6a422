"""From the end of an attempt to the command that it means. Pure."""

from msgspec import Raw

from penstock.domain.execution.commands import AnyCommand, ConfirmCancel, Fail, FinishCompensation, LoseAttempt, Succeed
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.execution.retries import RetryPolicy
from penstock_runner.workers.assignment import Ending, Killed
from penstock_runner.workers.messages import Compensated, Raised, Returned

CLOSED = "closed"
"""The verdict on an attempt whose activation is over: whatever it was doing, nothing follows from it."""


SUSPENDED = "suspended"
"""The verdict on an attempt that waits: the log has its waits, and it goes on when one of them is over."""


def command_of(
    ending: Ending, activation: int, policy: RetryPolicy, result_ref: str | None = None, *, pause: bool = False
) -> AnyCommand | None:
    """What the runner wants to record; None when nothing follows."""
    match ending:
        case Returned():
            if result_ref is not None:
                return Succeed(activation=activation, result=Raw(b"null"), result_ref=result_ref)
            return Succeed(activation=activation, result=Raw(ending.result))
        case Raised():
            return Fail(
                activation=activation,
                error=ErrorInfo(ending.code, ending.type, ending.message, ending.stack, ending.step, ending.step_at),
                policy=policy,
                terminal=ending.terminal,
                retry_after=ending.retry_after,
                pause=pause,
            )
        case Compensated():
            return FinishCompensation(activation=activation)
        case Killed():
            return _command_of_killed(ending, activation, policy, pause)


def _command_of_killed(ending: Killed, activation: int, policy: RetryPolicy, pause: bool) -> AnyCommand | None:
    error = ErrorInfo(code=ending.code, message=ending.message)
    match ending.code:
        case "cancelled":
            return ConfirmCancel(activation=activation)
        case "drained":
            return LoseAttempt(activation=activation, reason="drained")
        case "crashed":
            return LoseAttempt(activation=activation, reason="crashed", error=error)
        case "closed" | "suspended":
            return None
        case _:
            # More memory will not be there on the next attempt; more time may be.
            return Fail(activation=activation, error=error, policy=policy, terminal=ending.terminal, pause=pause)
