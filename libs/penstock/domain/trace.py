"""Trace context as the W3C headers `traceparent`, `tracestate` and `baggage` carry it, and the rule that gives each
execution its trace.

What callers send beside their work is never a reason to refuse it: a header that is wrong is left out, and of baggage
that is too much only as many members are kept as fit.
"""

import re
from typing import NamedTuple

from penstock.domain.execution.facts import Link
from penstock.domain.limits import baggage_bytes_max, baggage_members_max, tracestate_chars_max

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

_TRACESTATE = re.compile(r"[\x20-\x7e\t]*")
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
_MEMBER = re.compile(rf"{_NAME}\s*=\s*{_VALUE}(\s*;\s*{_NAME}(\s*=\s*{_VALUE})?)*", re.ASCII)


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


class Carried(NamedTuple):
    """What a caller's headers, or the attributes of an event, say of the trace that its work belongs to."""

    caller: SpanContext | None = None
    tracestate: str = ""
    baggage: str = ""


NOTHING_CARRIED = Carried()


def carried(traceparent: str | None, tracestate: str | None, baggage: str | None) -> Carried:
    """All of it, checked. Baggage stands for itself; `tracestate` means nothing without the span that it belongs to."""
    if not (traceparent or baggage):
        return NOTHING_CARRIED
    caller = parse_traceparent(traceparent)
    return Carried(caller, parse_tracestate(tracestate) if caller is not None else "", parse_baggage(baggage))


def parse_tracestate(header: str | None) -> str:
    """The header as it came, since it is for others to read; nothing if it is too long or no text."""
    text = (header or "").strip()
    return text if len(text) <= tracestate_chars_max and _TRACESTATE.fullmatch(text) else ""


def parse_baggage(header: str | None) -> str:
    """The well-formed members that fit, in order (https://www.w3.org/TR/baggage/)."""
    kept: list[str] = []
    size = -1
    for member in (header or "").split(","):
        text = member.strip()
        if len(kept) == baggage_members_max:
            break
        if size + 1 + len(text) <= baggage_bytes_max and _MEMBER.fullmatch(text):
            kept.append(text)
            size += 1 + len(text)
    return ",".join(kept)


def trace_of(execution_id: str, caller: SpanContext | None, *, immediate: bool) -> tuple[str, str | None, list[Link]]:
    """(trace id, parent span, links) of a new execution.

    What runs at once continues the caller's trace; what is delayed or has no caller gets a trace whose id is the
    execution's, linked to the caller's span if there is one.
    """
    if caller is not None and immediate:
        return caller.trace_id, caller.span_id, []
    links = [Link(trace_id=caller.trace_id, span_id=caller.span_id)] if caller is not None else []
    return execution_id, None, links
