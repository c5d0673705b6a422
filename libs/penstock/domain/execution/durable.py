"""The facts of durable code: steps, waits, children, messages, progress, undoing.

Each durable call of a function (a step, a wait, a call of a child) is an *operation* with a key: its name, numbered
`name#2`, `name#3` when the code uses it again. `position` is the number of the call among those made by the function's
own task, 0 for calls made by tasks it started: on replay the same position must have the same key.
"""

from typing import Literal

import msgspec
from msgspec import Raw

from penstock.domain.execution.fact import ErrorInfo, Fact, OptionalRaw

WaitKind = Literal["sleep", "event", "token", "children", "message"]
WaitOutcome = Literal["elapsed", "event", "completed", "rejected", "timed_out", "children", "message", "lost"]


class Wait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One open wait.

    `until` is the end of a sleep, or when any other wait times out. Waits with the same `group` are alternatives: the
    first to be over ends the others. `name` is the event's name or the channel of messages; `match` holds values by
    dotted path of `event.data`; `after` is the position in EVENTS after which events count.
    """

    key: str
    wait: WaitKind
    position: int = 0
    until: int | None = None
    group: str = ""
    name: str = ""
    match: dict[str, Raw] = {}
    after: int = 0
    children: list[str] = []


class StepStarted(Fact, frozen=True, kw_only=True, tag="step_started"):
    """A step that may run at most once is about to run."""

    attempt: int
    step: str
    position: int = 0


class StepCompleted(Fact, frozen=True, kw_only=True, tag="step_completed"):
    """The result of a step, stored once and never computed again. `undo`: it can be undone."""

    attempt: int
    step: str
    started_at: int
    result: Raw = Raw(b"null")
    result_ref: str | None = None
    position: int = 0
    undo: bool = False


class StepFailed(Fact, frozen=True, kw_only=True, tag="step_failed"):
    """A step with a retry policy of its own failed for the `failures`-th time.

    It is tried again at `retry_at`, or, without that, has failed for good: its error is raised in the function on
    every replay.
    """

    attempt: int
    step: str
    started_at: int
    error: ErrorInfo
    failures: int
    retry_at: int | None = None
    position: int = 0


class WaitOpened(Fact, frozen=True, kw_only=True, tag="wait_opened"):
    """The function waits. With `suspends` nothing else of it is under way: the activation is closed, the slot is free.

    `wakes_at` is when the execution has to be looked at next without anybody asking.
    """

    waits: list[Wait]
    suspends: bool = False
    wakes_at: int | None = None


class Suspended(Fact, frozen=True, kw_only=True, tag="suspended"):
    """All that was still under way beside open waits has ended: the activation is closed."""

    wakes_at: int | None = None


class Woken(Fact, frozen=True, kw_only=True, tag="woken"):
    """A wait is over. If the execution was suspended this makes it runnable (`wakes`), unless it is `gated`.

    `source` is the id of the event, message or token's use that ended it.
    """

    wait: str
    outcome: WaitOutcome
    result: Raw = Raw(b"null")
    result_ref: str | None = None
    error: ErrorInfo | None = None
    source: str = ""
    position: int = 0
    wakes: bool = False
    gated: bool = False
    wakes_at: int | None = None


class Child(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A child execution as its parent's fact names it."""

    id: str
    function: str


class ChildCalled(Fact, frozen=True, kw_only=True, tag="child_called"):
    """The function called others. Their executions exist, or will be made when this call is replayed.

    Unless `detached`, their completion is awaited under the wait with the same key. `on_cancel` says what becomes of
    them when this execution is cancelled.
    """

    call: str
    children: list[Child]
    position: int = 0
    detached: bool = False
    on_cancel: Literal["cancel", "leave"] = "cancel"


class ChildCompleted(Fact, frozen=True, kw_only=True, tag="child_completed"):
    """A child has ended in `state`. When it was the last one awaited by a suspended parent, this wakes the parent."""

    call: str
    child: str
    state: str
    result: OptionalRaw = None
    result_ref: str | None = None
    error: ErrorInfo | None = None
    wakes: bool = False
    gated: bool = False
    wakes_at: int | None = None


class MessageReceived(Fact, frozen=True, kw_only=True, tag="message_received"):
    """A message from outside that nobody waits for yet: it is kept for the next `ctx.receive` on its channel."""

    message: str
    channel: str
    body: Raw = Raw(b"null")


class Progressed(Fact, frozen=True, kw_only=True, tag="progressed"):
    """How far the function says it is."""

    done: float
    total: float | None = None
    note: str = ""


class Paused(Fact, frozen=True, kw_only=True, tag="paused"):
    """The last attempt failed and the function asks for a fix instead of a failure: it waits for `resumed`."""

    attempt: int
    error: ErrorInfo


class Resumed(Fact, frozen=True, kw_only=True, tag="resumed"):
    """Somebody says that it can go on: runnable unless `gated`; failures are counted anew."""

    gated: bool = False


class Compensating(Fact, frozen=True, kw_only=True, tag="compensating"):
    """It is going to fail or be cancelled, but steps are to be undone first. Followed by a fact that runs it.

    `outcome` is the final state that it will have.
    """

    outcome: Literal["failed", "cancelled"]
    error: ErrorInfo
