"""Trace context as the W3C header `traceparent` carries it, and the rule that gives each execution its trace."""

import re
from typing import NamedTuple

from penstock.domain.execution.facts import Link

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class SpanContext(NamedTuple):
    """A span elsewhere: 32 and 16 hex digits."""

    trace_id: str
    span_id: str


def parse_traceparent(header: str | None) -> SpanContext | None:
    """The caller's span, or None for a missing or invalid header (https://www.w3.org/TR/trace-context/)."""
    match = _TRACEPARENT.fullmatch((header or "").strip())
    if match is None:
        return None
    version, trace_id, span_id, _, rest = match.groups()
    # Version 00 ends after the flags; later versions may go on.
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    return SpanContext(trace_id, span_id)


def format_traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id}-{context.span_id}-01"


def trace_of(execution_id: str, caller: SpanContext | None, *, immediate: bool) -> tuple[str, str | None, list[Link]]:
    """(trace id, parent span, links) of a new execution.

    What runs at once continues the caller's trace; what is delayed or has no caller gets a trace whose id is the
    execution's, linked to the caller's span if there is one.
    """
    if caller is not None and immediate:
        return caller.trace_id, caller.span_id, []
    links = [Link(trace_id=caller.trace_id, span_id=caller.span_id)] if caller is not None else []
    return execution_id, None, links
