"""The CloudEvent that tells programs on NATS how an execution ended without success."""

from typing import Any

import msgspec

from penstock.domain.execution.facts import ErrorInfo
from penstock.wire.cloudevents import JSON, SPECVERSION

OUTCOMES = ("failed", "cancelled", "discarded")
"""Final states that are told; they stand in the subject."""


class NotifiedError(msgspec.Struct, frozen=True, kw_only=True):
    """Why it ended so: a stable code, and for errors of user code its type, its message and the end of its stack."""

    code: str
    type: str
    message: str
    stack: str


class NotifiedExecution(msgspec.Struct, frozen=True, kw_only=True):
    """The execution when it had ended. Times are RFC 3339 in UTC; `arguments` is there only if the operator allows."""

    id: str
    function: str
    state: str
    attempt: int
    error: NotifiedError | None
    created_at: str
    finished_at: str
    trace_id: str
    parent_id: str | None
    event_id: str | None
    links: dict[str, str]
    arguments: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class NotificationData(msgspec.Struct, frozen=True, kw_only=True):
    """What it is about."""

    execution: NotifiedExecution


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A structured CloudEvent. `id` is a hash of the final fact, the same in each repeat; `subject` the execution."""

    specversion: str = SPECVERSION
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = JSON
    traceparent: str
    data: NotificationData


def notified(error: ErrorInfo | None) -> NotifiedError | None:
    """The error as it travels."""
    if error is None:
        return None
    return NotifiedError(code=error.code, type=error.type, message=error.message, stack=error.stack)
