"""What the stored facts of one execution tell: its arguments, attempts and result. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.execution import facts as f
from penstock.ports import Recorded
from penstock.wire.codec import encode_fact
from penstock_query.shapes import AttemptShape, ErrorShape, FactShape, error_shape, rfc3339

_encode = msgspec.json.Encoder().encode


class Value(NamedTuple):
    """JSON, either at hand or in the object store under `reference`."""

    json: bytes
    reference: str | None


def arguments_of(recorded: Sequence[Recorded]) -> Value | None:
    """`{"args":[],"kwargs":{}}`, with `event` for an execution that an event started, and `members` for a batch."""
    for entry in recorded:
        fact = entry.fact
        if isinstance(fact, f.Enqueued):
            event = b"" if fact.event is None else b',"event":' + bytes(fact.event)
            members = b',"members":' + _encode(fact.members) if fact.members else b""
            json = b'{"args":' + bytes(fact.args) + b',"kwargs":' + bytes(fact.kwargs) + event + members + b"}"
            return Value(json, fact.arguments_ref)
    return None


def result_of(recorded: Sequence[Recorded]) -> Value | None:
    """The result, None if it did not succeed."""
    for entry in reversed(recorded):
        if isinstance(entry.fact, f.Succeeded):
            return Value(bytes(entry.fact.result), entry.fact.result_ref)
    return None


def fact_shape(entry: Recorded) -> FactShape:
    """One fact as it stands, one of an unknown kind too."""
    fact = entry.fact
    raw = fact.raw if isinstance(fact, f.Unknown) else Raw(encode_fact(fact))
    return FactShape(sequence=f"x:{entry.sequence}", n=fact.n, kind=f.kind_of(fact), at=rfc3339(fact.at), fact=raw)


def attempts_of(recorded: Sequence[Recorded]) -> list[AttemptShape]:
    """The attempts in order. One that goes on after a wait stays the same attempt."""
    attempts: dict[int, AttemptShape] = {}
    undoing: f.Compensating | None = None
    for entry in recorded:
        fact = entry.fact
        if isinstance(fact, f.Started):
            before = attempts.get(fact.attempt)
            if before is None:
                attempts[fact.attempt] = AttemptShape(
                    attempt=fact.attempt, state="running" if undoing is None else "undoing",
                    started_at=rfc3339(fact.at), finished_at=None, runner=fact.runner, error=None,
                )  # fmt: skip
            elif before.finished_at is None:
                attempts[fact.attempt] = replace(before, state=_going_on(before), runner=fact.runner)
        elif attempts:
            number, latest = next(reversed(attempts.items()))
            attempts[number] = _after(latest, fact, undoing)
        if isinstance(fact, f.Compensating):
            undoing = fact
    return list(attempts.values())


def _going_on(attempt: AttemptShape) -> str:
    return attempt.state if attempt.state in ("undoing", "cancelling") else "running"


def _after(attempt: AttemptShape, fact: f.AnyFact | f.Unknown, undoing: f.Compensating | None) -> AttemptShape:
    """The latest attempt after one more fact of its execution."""
    if attempt.finished_at is not None:
        # The poison guard's verdict belongs to the attempt that was lost last; the time of the whole execution to none.
        if isinstance(fact, f.Failed) and attempt.state == "lost":
            return replace(attempt, error=error_shape(fact.error))
        return attempt
    match fact:
        case f.Cancelled() if undoing is not None:
            return _ended(attempt, fact, "undone", None)
        case f.Failed() if undoing is not None and fact.error == undoing.error:
            return _ended(attempt, fact, "undone", None)
        case f.Succeeded():
            return _ended(attempt, fact, "succeeded", None)
        case f.RetryScheduled() | f.Failed() | f.Paused():
            return _ended(attempt, fact, "failed", error_shape(fact.error))
        case f.Compensating():
            cancelled = fact.outcome == "cancelled"
            return _ended(attempt, fact, fact.outcome, None if cancelled else error_shape(fact.error))
        case f.Cancelled():
            return _ended(attempt, fact, "cancelled", None)
        case f.AttemptLost() if fact.reason == "drained":
            return _ended(attempt, fact, "handed_back", None)
        case f.AttemptLost():
            code = "crashed" if fact.reason == "crashed" else "runner_lost"
            message = f"The runner {fact.runner} was lost ({fact.reason})."
            return _ended(attempt, fact, "lost", ErrorShape(code=code, type="", message=message, stack=""))
        case f.CancelRequested():
            return replace(attempt, state="cancelling")
        case f.WaitOpened() if not fact.suspends:
            return attempt
        case f.WaitOpened() | f.Suspended() if attempt.state == "running":
            return replace(attempt, state="waiting")
        case _:
            return attempt


def _ended(attempt: AttemptShape, fact: f.Fact, state: str, error: ErrorShape | None) -> AttemptShape:
    return replace(attempt, state=state, finished_at=rfc3339(fact.at), error=error)
