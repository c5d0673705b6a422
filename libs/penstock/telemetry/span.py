"""One finished span as our own code makes it, before any encoding."""

from typing import Literal

import msgspec

from penstock.domain.execution.facts import ErrorInfo, Link

Part = Literal["ingest", "scheduler", "runner", "notifier"]
"""The service that a span belongs to."""
PARTS: tuple[Part, ...] = ("ingest", "scheduler", "runner", "notifier")

Kind = Literal["internal", "producer", "consumer", "client"]
"""What OpenTelemetry calls the kind of a span."""

Value = str | int


class SpanData(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One finished span. Ids are hex; times are microseconds since the epoch; `state` is the caller's `tracestate`."""

    name: str
    part: Part
    kind: Kind = "internal"
    trace_id: str
    span_id: str
    parent_id: str | None
    start: int
    end: int
    attributes: dict[str, Value]
    error: ErrorInfo | None = None
    links: list[Link] = []
    state: str = ""
