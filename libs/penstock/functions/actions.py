"""What durable code asks of whoever runs it, as data: it travels from a worker process to its runner as it is.

Values of user code travel as JSON bytes, so that nobody on the way decodes them.
"""

from typing import Literal

import msgspec

from penstock.domain.execution.durable import WaitKind


class Action(msgspec.Struct, frozen=True, array_like=True, tag_field="action"):
    """The part that all share: none."""


class BeginStep(Action, frozen=True, tag="begin_step"):
    """Remember that a step is about to run which may run at most once."""

    step: str
    position: int


class CompleteStep(Action, frozen=True, tag="complete_step"):
    """Store the result of a step. Answered with the time at which it was stored (microseconds)."""

    step: str
    position: int
    started_at: int
    result: bytes
    undo: bool = False


class FailStep(Action, frozen=True, tag="fail_step"):
    """Store the failure of a step that has a retry policy of its own. Answered with the time of the next try, or null.

    `policy` is JSON of a RetryPolicy.
    """

    step: str
    position: int
    started_at: int
    policy: bytes
    code: str
    type: str
    message: str
    stack: str
    terminal: bool = False
    retry_after: float | None = None


class WaitFor(msgspec.Struct, frozen=True, array_like=True):
    """One wait. `until` is absolute (microseconds), `look_back` seconds; `match` is a JSON object by dotted path."""

    key: str
    wait: WaitKind
    position: int = 0
    until: int | None = None
    group: str = ""
    name: str = ""
    match: bytes = b"{}"
    look_back: float = 0.0


class OpenWaits(Action, frozen=True, tag="open_waits"):
    """Open these waits. With `suspends` nothing goes on beside them and those in `blocked`: stop until one is over.

    Waits that are over are told by `Outcomes`, before the answer or at any time after it.
    """

    waits: list[WaitFor]
    blocked: list[str]
    suspends: bool


class CallItem(msgspec.Struct, frozen=True, array_like=True):
    """Arguments of one child, as JSON."""

    args: bytes
    kwargs: bytes


class CallChildren(Action, frozen=True, tag="call_children"):
    """Make child executions; answered with their ids. The same call made again makes none.

    `options` is JSON of CallOptions.
    """

    call: str
    position: int
    function: str
    items: list[CallItem]
    options: bytes
    detached: bool = False
    on_cancel: Literal["cancel", "leave"] = "cancel"


class CancelChildren(Action, frozen=True, tag="cancel_children"):
    """Cancel the children of these calls, and remember under `step` that it was done."""

    step: str
    calls: list[str]


class MakeToken(Action, frozen=True, tag="make_token"):
    """Answered with the token by which others can end the wait with this key, and its address."""

    wait: str


class ReportProgress(Action, frozen=True, tag="report_progress"):
    """How far it is. Answered at once; of many reports in a short time the last one counts."""

    done: float
    total: float | None = None
    note: str = ""


AnyAction = BeginStep | CompleteStep | FailStep | OpenWaits | CallChildren | CancelChildren | MakeToken | ReportProgress


class ChildEnd(msgspec.Struct, frozen=True, array_like=True):
    """How a child ended; `state` is empty while it has not."""

    id: str
    function: str
    state: str = ""
    value: bytes = b"null"
    code: str = ""
    type: str = ""
    message: str = ""
    stack: str = ""


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one operation: `done` with a value or, if `code` is set, an error; else begun or to be retried.

    `n` orders outcomes; `at` is when it came (microseconds).
    """

    kind: str
    n: int
    at: int
    position: int = 0
    done: bool = False
    outcome: str = ""
    value: bytes = b"null"
    code: str = ""
    type: str = ""
    message: str = ""
    stack: str = ""
    started: bool = False
    failures: int = 0
    retry_at: int | None = None
    children: list[ChildEnd] = []
