"""One attempt as JSON for functions in any language: the same members on stdin and in the body of a request."""

import msgspec
from msgspec import Raw

from penstock.domain.execution.facts import OptionalRaw
from penstock.domain.trace import Carried, SpanContext
from penstock.telemetry.paths import attempt_span
from penstock_runner.workers.messages import Run


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the same in every attempt; `event` is null where none started the execution."""

    id: str
    function: str
    attempt: int
    args: Raw
    kwargs: Raw
    event: OptionalRaw
    metadata: dict[str, str]
    parent_id: str | None
    root_id: str
    trace_id: str
    callback_url: str | msgspec.UnsetType = msgspec.UNSET
    """Where whoever answers 202 completes the attempt later; `http` functions only."""


def described(run: Run, callback_url: str | msgspec.UnsetType = msgspec.UNSET) -> Described:
    return Described(
        id=run.execution_id,
        function=run.function,
        attempt=run.attempt,
        args=Raw(run.args),
        kwargs=Raw(run.kwargs),
        event=Raw(run.event) if run.event is not None else None,
        metadata=run.metadata,
        parent_id=run.parent_id,
        root_id=run.root_id or run.execution_id,
        trace_id=run.trace_id,
        callback_url=callback_url,
    )


def carried_to(run: Run) -> Carried:
    """The attempt's span, under which the function's own spans belong, and what is passed on with it."""
    span = SpanContext(run.trace_id, attempt_span(run.execution_id, run.attempt))
    return Carried(span, run.tracestate, run.baggage)
