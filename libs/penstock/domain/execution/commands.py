"""Every intent about one execution. A command says what somebody wants; `decide` says what happens."""

from typing import Literal, final

import msgspec
from msgspec import Raw

from penstock.domain.execution.durable import WaitOutcome
from penstock.domain.execution.facts import Cancelled, Child, Discarded, Enqueued, ErrorInfo, Failed, Succeeded, Wait
from penstock.domain.execution.retries import RetryPolicy


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """An intent. Times are microseconds since the epoch."""


@final
class Enqueue(Command, frozen=True, kw_only=True):
    """Create the execution with this first fact."""

    fact: Enqueued


class Start(Command, frozen=True, kw_only=True):
    """A runner wants to run the activation opened by fact number `activation`.

    `losses` is the function's own number of losses that end it, if it has one.
    """

    activation: int
    runner: str
    version: str = ""
    losses: int | None = None


class BeginStep(Command, frozen=True, kw_only=True):
    """A step that may run at most once is about to run."""

    activation: int
    step: str
    position: int = 0


class CompleteStep(Command, frozen=True, kw_only=True):
    activation: int
    step: str
    started_at: int
    result: msgspec.Raw
    result_ref: str | None = None
    position: int = 0
    undo: bool = False


class FailStep(Command, frozen=True, kw_only=True):
    """A step failed that has a retry policy of its own; the rest as in `Fail`."""

    activation: int
    step: str
    started_at: int
    error: ErrorInfo
    policy: RetryPolicy
    terminal: bool = False
    retry_after: float | None = None
    position: int = 0


class OpenWaits(Command, frozen=True, kw_only=True):
    """The function waits for these.

    With `suspends` it is blocked on `blocked` (empty: on all of these) and nothing else of it is under way.
    """

    activation: int
    waits: list[Wait]
    blocked: list[str] = []
    suspends: bool = False


class CompleteWait(Command, frozen=True, kw_only=True):
    """A wait is over. `early` allows it before the wait is opened (tokens, which prove that they are meant)."""

    wait: str
    outcome: WaitOutcome
    result: Raw = Raw(b"null")
    result_ref: str | None = None
    error: ErrorInfo | None = None
    source: str = ""
    early: bool = False


class CallChildren(Command, frozen=True, kw_only=True):
    """The function calls others; their executions are made after this is stored."""

    activation: int
    call: str
    children: list[Child]
    position: int = 0
    detached: bool = False
    on_cancel: Literal["cancel", "leave"] = "cancel"


class CompleteChild(Command, frozen=True, kw_only=True):
    """A child has ended in `state`."""

    child: str
    state: str
    result: Raw = Raw(b"null")
    result_ref: str | None = None
    error: ErrorInfo | None = None


class ReceiveMessage(Command, frozen=True, kw_only=True):
    """A message from outside; the same id counts once."""

    message: str
    channel: str
    body: Raw


class ReportProgress(Command, frozen=True, kw_only=True):
    activation: int
    done: float
    total: float | None = None
    note: str = ""


class Succeed(Command, frozen=True, kw_only=True):
    activation: int
    result: msgspec.Raw
    result_ref: str | None = None


class Fail(Command, frozen=True, kw_only=True):
    """The attempt failed. `terminal` forbids a retry; `retry_after` (seconds) replaces the policy's delay.

    With `pause` it waits for a fix instead of failing.
    """

    activation: int
    error: ErrorInfo
    policy: RetryPolicy
    terminal: bool = False
    retry_after: float | None = None
    pause: bool = False


class LoseAttempt(Command, frozen=True, kw_only=True):
    """The owner of this activation is gone (`lapsed`, `crashed`) or gives it back (`drained`)."""

    activation: int
    reason: str = "lapsed"
    error: ErrorInfo | None = None


class WakeUp(Command, frozen=True, kw_only=True):
    """A timer fired: is anything due?"""


class RequestCancel(Command, frozen=True, kw_only=True):
    """Stop it. With `attempts_max` only if no more attempts have started: what runs meanwhile is left alone."""

    force: bool = False
    attempts_max: int | None = None


class ConfirmCancel(Command, frozen=True, kw_only=True):
    """The running attempt was stopped, or its runner is gone."""

    activation: int


class Reschedule(Command, frozen=True, kw_only=True):
    """Move the earliest start; None means now. `or_discard` allows a time at which it will have been discarded."""

    run_at: int | None = None
    or_discard: bool = False


class Resume(Command, frozen=True, kw_only=True):
    """What made a paused execution fail has been mended: go on."""


class FinishCompensation(Command, frozen=True, kw_only=True):
    """All steps that could be undone are undone."""

    activation: int


class Settle(Command, frozen=True, kw_only=True):
    """The leader that it follows has ended with this outcome, and so does it."""

    leader: str
    outcome: Succeeded | Failed | Cancelled | Discarded


AnyCommand = (
    Enqueue
    | Start
    | BeginStep
    | CompleteStep
    | FailStep
    | OpenWaits
    | CompleteWait
    | CallChildren
    | CompleteChild
    | ReceiveMessage
    | ReportProgress
    | Succeed
    | Fail
    | LoseAttempt
    | WakeUp
    | RequestCancel
    | ConfirmCancel
    | Reschedule
    | Resume
    | FinishCompensation
    | Settle
)
