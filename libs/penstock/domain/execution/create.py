"""The first fact of an execution, made in one place for every door: HTTP, NATS, events, reruns and calls from inside
functions.
"""

import msgspec
from msgspec import Raw

from penstock.domain.execution.facts import Enqueued, Link
from penstock.domain.function.options import NOTHING_ASKED, ResolvedOptions
from penstock.domain.ids import content_hash, span_id
from penstock.domain.trace import NOTHING_CARRIED, Carried, trace_of

EMPTY_ARGS = Raw(b"[]")
EMPTY_KWARGS = Raw(b"{}")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an execution comes from."""

    carried: Carried = NOTHING_CARRIED
    links: list[Link] = []
    """Spans that it goes back to beside its caller's."""
    event: Raw | None = None
    event_id: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    rerun_of: str | None = None


_NO_ORIGIN = Origin()


def enqueued(
    execution_id: str,
    function: str,
    args: Raw,
    kwargs: Raw,
    options: ResolvedOptions,
    now: int,
    origin: Origin,
    arguments_ref: str | None = None,
) -> Enqueued:
    """The `enqueued` fact.

    `arguments_ref` names the stored arguments when they are too large; its hash still covers them.
    """
    if options == NOTHING_ASKED and origin == _NO_ORIGIN and arguments_ref is None:
        # What most calls are. Each field that is named costs time, whatever is in it.
        return Enqueued(n=1, at=now, function=function, args=args, kwargs=kwargs, trace_id=execution_id)
    carried = origin.carried
    trace_id, parent_span, links = trace_of(execution_id, carried.caller, immediate=options.run_at is None)
    digest = None
    if options.idempotency_key is not None:
        digest = arguments_hash(args, kwargs)
    large = arguments_ref is not None
    return Enqueued(
        n=1,
        at=now,
        function=function,
        args=EMPTY_ARGS if large else args,
        kwargs=EMPTY_KWARGS if large else kwargs,
        event=origin.event,
        arguments_ref=arguments_ref,
        run_at=options.run_at,
        discard_at=options.discard_at,
        deadline_at=options.deadline_at,
        metadata=options.metadata,
        priority=options.priority,
        retries=options.retries,
        timeout=options.timeout,
        event_id=origin.event_id,
        parent_id=origin.parent_id,
        root_id=origin.root_id,
        rerun_of=origin.rerun_of,
        idempotency_key=options.idempotency_key,
        content_hash=digest,
        trace_id=trace_id,
        parent_span=parent_span,
        tracestate=carried.tracestate if parent_span is not None else "",
        baggage=carried.baggage,
        links=[*links, *origin.links],
    )


def same_time(first: Enqueued, now: int) -> int | None:
    """The deadline of a rerun: it has as much time as the execution that begins with `first` had."""
    return None if first.deadline_at is None else now + first.deadline_at - (first.run_at or first.at)


def link_to(first: Enqueued, execution_id: str) -> Link:
    """The span of the execution that begins with `first`: where one that repeats it comes from."""
    return Link(trace_id=first.trace_id, span_id=span_id(execution_id))


def rerun_carried(first: Enqueued, given: Carried = NOTHING_CARRIED) -> Carried:
    """Who asks for a rerun is its caller; without baggage of its own that of the first time goes on."""
    return given if given.baggage else given._replace(baggage=first.baggage)


def arguments_hash(args: Raw, kwargs: Raw) -> str:
    """Digest of arguments by value: key order and white space do not count."""
    canonical = msgspec.json.encode([msgspec.json.decode(args), msgspec.json.decode(kwargs)], order="sorted")
    return content_hash(canonical)
