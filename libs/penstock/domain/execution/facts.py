"""Every fact that the log can hold about one execution.

A fact is past tense, carries a tag chosen by hand (renaming a class never changes the log) and a number `n` that
counts the facts of its execution from 1 without gaps. All times are whole microseconds since the epoch, UTC.

To add a fact: a struct here with a tag, a case in `evolve.py`, a command in `commands.py` with its rule in
`decide.py`, a row in `RUN` or `FINAL` if it makes an execution runnable or ends it, and a test in
`tests/unit/test_decide.py`.
"""

from collections.abc import Callable
from typing import Any, final

from msgspec import Raw

from penstock.domain.execution.durable import (
    Child,
    ChildCalled,
    ChildCompleted,
    Compensating,
    MessageReceived,
    Paused,
    Progressed,
    Resumed,
    StepCompleted,
    StepFailed,
    StepStarted,
    Suspended,
    Wait,
    WaitOpened,
    WaitOutcome,
    Woken,
)
from penstock.domain.execution.fact import ErrorInfo, Fact, Link, OptionalRaw
from penstock.domain.execution.hooks import NO_HOOKS, Hooks
from penstock.domain.execution.joining import Followed, Joined, JoinReason

__all__ = [
    "FINAL", "Admitted", "AnyFact", "AttemptLost", "CancelRequested", "Cancelled", "Child", "ChildCalled",
    "ChildCompleted", "Compensating", "Discarded", "Due", "Enqueued", "ErrorInfo", "Fact", "Failed", "Followed",
    "JoinReason", "Joined", "Link", "MessageReceived", "OptionalRaw", "Paused", "Progressed", "Rescheduled",
    "Resumed", "RetryScheduled", "Started", "StepCompleted", "StepFailed", "StepStarted", "Succeeded", "Suspended",
    "Unknown", "Wait", "WaitOpened", "WaitOutcome", "Woken", "is_end", "kind_of", "opens_activation",
]  # fmt: skip


@final
class Enqueued(Fact, frozen=True, kw_only=True, tag="enqueued"):
    """The first fact. Runnable at once unless `run_at` lies ahead or `gated` is set."""

    function: str
    args: Raw = Raw(b"[]")
    kwargs: Raw = Raw(b"{}")
    event: OptionalRaw = None
    arguments_ref: str | None = None
    """Name in the object store when the arguments are too large to travel in the fact; then args and kwargs are empty.
    """
    run_at: int | None = None
    discard_at: int | None = None
    deadline_at: int | None = None
    """The whole execution, its waits and retries included, has to end before."""
    gated: bool = False
    keys: dict[str, str] = {}
    """What the key expressions of the function's limits came to, by the label of the limit; evaluated once."""
    members: list[str] = []
    """Of a batch: the executions whose arguments it runs with, in this order. They follow it."""
    metadata: dict[str, str] = {}
    priority: int = 0
    retries: int | None = None
    policy: str = ""
    """Name of the retry policy that holds in place of the function's own (`retries.NAMED`)."""
    timeout: int | None = None
    event_id: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    rerun_of: str | None = None
    idempotency_key: str | None = None
    content_hash: str | None = None
    inherited_ref: str | None = None
    """Name in the object store of operations that need not run again: this execution restarts from a later step."""
    restarted_from: str | None = None
    """The step that `rerun_of` was restarted from."""
    hooks: Hooks = NO_HOOKS
    """What its function said when it was made; whoever ends it need not know the function."""
    trace_id: str
    parent_span: str | None = None
    tracestate: str = ""
    """Of the caller, whose trace it continues; passed on as it came."""
    baggage: str = ""
    """What the caller wants passed on to everything that is done for it."""
    links: list[Link] = []


class Due(Fact, frozen=True, kw_only=True, tag="due"):
    """A delay or a retry's backoff is over, or a lost attempt is to be taken up again.

    Runnable now, unless it is `gated`: then it queues up for admission.
    """

    gated: bool = False


class Admitted(Fact, frozen=True, kw_only=True, tag="admitted"):
    """Flow control gave a gated execution its slots: runnable now."""


@final
class Started(Fact, frozen=True, kw_only=True, tag="started"):
    """A runner took the activation that the fact numbered `activation` opened.

    `losses` is how many losses end the execution, where the function has a number of its own: whoever finds that the
    runner is gone does not know the function.
    """

    activation: int
    attempt: int
    runner: str
    version: str = ""
    losses: int | None = None


@final
class Succeeded(Fact, frozen=True, kw_only=True, tag="succeeded"):
    """Final. The result, or its name in the object store."""

    attempt: int
    result: Raw = Raw(b"null")
    result_ref: str | None = None


class RetryScheduled(Fact, frozen=True, kw_only=True, tag="retry_scheduled"):
    """The attempt failed; the next one may start at `retry_at`."""

    attempt: int
    error: ErrorInfo
    retry_at: int


class Failed(Fact, frozen=True, kw_only=True, tag="failed"):
    """Final. The last attempt failed."""

    attempt: int
    error: ErrorInfo
    leader: str = ""
    """Whose end this is: of the execution that it followed; empty for an end of its own."""


class AttemptLost(Fact, frozen=True, kw_only=True, tag="attempt_lost"):
    """The runner of this attempt is gone (`lapsed`), or gave it back while stopping (`drained`)."""

    attempt: int
    activation: int
    runner: str
    reason: str = "lapsed"


class Rescheduled(Fact, frozen=True, kw_only=True, tag="rescheduled"):
    """The time before which it may not start was moved."""

    run_at: int


class CancelRequested(Fact, frozen=True, kw_only=True, tag="cancel_requested"):
    """Somebody wants a running execution stopped; `force` leaves no time to clean up."""

    force: bool = False


class Cancelled(Fact, frozen=True, kw_only=True, tag="cancelled"):
    """Final. Stopped on request, or called off by a limit; then `reason` says by which."""

    reason: str = ""

    leader: str = ""
    """As with `Failed`."""


class Discarded(Fact, frozen=True, kw_only=True, tag="discarded"):
    """Final. Not started before `discard_at`, or dropped by a limit; then `reason` says by which."""

    reason: str = ""
    leader: str = ""
    """As with `Failed`."""


class Unknown(Fact, frozen=True, kw_only=True, tag="unknown"):
    """A kind that this version does not know: kept and shown, never dropped."""

    raw: Raw
    name: str = ""


AnyFact = (
    Enqueued
    | Due
    | Admitted
    | Joined
    | Followed
    | Started
    | StepStarted
    | StepCompleted
    | StepFailed
    | WaitOpened
    | Suspended
    | Woken
    | ChildCalled
    | ChildCompleted
    | MessageReceived
    | Progressed
    | Paused
    | Resumed
    | Compensating
    | Succeeded
    | RetryScheduled
    | Failed
    | AttemptLost
    | Rescheduled
    | CancelRequested
    | Cancelled
    | Discarded
)

FINAL = (Succeeded, Failed, Cancelled, Discarded)
"""Facts after which nothing follows."""
FINAL_KINDS = frozenset(FINAL)


def kind_of(fact: Fact) -> str:
    """The wire tag of a fact."""
    if isinstance(fact, Unknown):
        return fact.name
    return str(fact.__struct_config__.tag)


_OPENS: dict[type[Fact], Callable[[Any], bool]] = {
    Enqueued: lambda fact: fact.run_at is None and not fact.gated,
    Due: lambda fact: not fact.gated,
    Resumed: lambda fact: not fact.gated,
    Woken: lambda fact: fact.wakes and not fact.gated,
    ChildCompleted: lambda fact: fact.wakes and not fact.gated,
    Admitted: lambda _: True,
}


# By the type itself: asking a struct whether it is an instance of another kind costs a hundred times as much.
def opens_activation(fact: Fact) -> bool:
    """True for a run fact: one that makes the execution runnable."""
    opens = _OPENS.get(type(fact))
    return opens is not None and opens(fact)


def is_end(fact: Fact, is_awaited: bool) -> bool:
    """True for a final fact that somebody acts on: not a success, or of a child, of a leader, or with a hook
    for successes.
    """
    return type(fact) in FINAL_KINDS and (is_awaited or type(fact) is not Succeeded)
