"""Every intent about one execution. A command says what somebody wants; `decide` says what happens."""

import msgspec

from penstock.domain.execution.facts import Enqueued, ErrorInfo
from penstock.domain.execution.retries import RetryPolicy


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An intent. Times are microseconds since the epoch."""


class Enqueue(Command, frozen=True, kw_only=True):
    """Create the execution with this first fact."""

    fact: Enqueued


class Start(Command, frozen=True, kw_only=True):
    """A runner wants to run the activation opened by fact number `activation`."""

    activation: int
    runner: str
    version: str = ""


class CompleteStep(Command, frozen=True, kw_only=True):
    activation: int
    step: str
    started_at: int
    result: msgspec.Raw
    result_ref: str | None = None


class Succeed(Command, frozen=True, kw_only=True):
    activation: int
    result: msgspec.Raw
    result_ref: str | None = None


class Fail(Command, frozen=True, kw_only=True):
    """The attempt failed. `terminal` forbids a retry; `retry_after` (seconds) replaces the policy's delay."""

    activation: int
    error: ErrorInfo
    policy: RetryPolicy
    terminal: bool = False
    retry_after: float | None = None


class LoseAttempt(Command, frozen=True, kw_only=True):
    """The owner of this activation is gone (`lapsed`, `crashed`) or gives it back (`drained`)."""

    activation: int
    reason: str = "lapsed"
    error: ErrorInfo | None = None


class WakeUp(Command, frozen=True, kw_only=True):
    """A timer fired: is anything due?"""


class RequestCancel(Command, frozen=True, kw_only=True):
    force: bool = False


class ConfirmCancel(Command, frozen=True, kw_only=True):
    """The running attempt was stopped, or its runner is gone."""

    activation: int


class Reschedule(Command, frozen=True, kw_only=True):
    """Move the earliest start; None means now."""

    run_at: int | None = None


AnyCommand = (
    Enqueue | Start | CompleteStep | Succeed | Fail | LoseAttempt | WakeUp | RequestCancel | ConfirmCancel | Reschedule
)
