"""Spans as the SDK's own objects: what our encoder is compared with."""

from collections.abc import Iterator

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from penstock.telemetry import names as t
from penstock.telemetry.span import PARTS, Kind, SpanData

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
}


class Converter:
    """SpanData to the SDK's own span objects, with our ids and times."""

    def __init__(self, environment: str) -> None:
        self._scope = InstrumentationScope(t.SCOPE)
        self._resources = {
            part: Resource.create({t.SERVICE_NAME: f"penstock-{part}", t.ENVIRONMENT: environment}) for part in PARTS
        }

    def convert(self, span: SpanData) -> ReadableSpan:
        """The same span for the exporter."""
        trace_id = int(span.trace_id, 16)
        parent = None
        if span.parent_id is not None:
            parent = SpanContext(trace_id, int(span.parent_id, 16), is_remote=True, trace_flags=_SAMPLED)
        return ReadableSpan(
            name=span.name,
            context=SpanContext(
                trace_id,
                int(span.span_id, 16),
                is_remote=False,
                trace_flags=_SAMPLED,
                trace_state=TraceState.from_header([span.state]),
            ),
            parent=parent,
            resource=self._resources[span.part],
            attributes=span.attributes,
            events=_events(span),
            links=tuple(_links(span)),
            kind=_KINDS[span.kind],
            status=_status(span),
            start_time=span.start * 1000,
            end_time=span.end * 1000,
            instrumentation_scope=self._scope,
        )


_UNSET = Status(StatusCode.UNSET)


def _status(span: SpanData) -> Status:
    if span.error is None:
        return _UNSET
    return Status(StatusCode.ERROR, span.error.message or span.error.code)


def _events(span: SpanData) -> tuple[Event, ...]:
    error = span.error
    if error is None or span.part != "runner":
        return ()
    attributes: dict[str, str] = {t.EXCEPTION_TYPE: error.type or error.code, t.EXCEPTION_MESSAGE: error.message}
    if error.stack:
        attributes[t.EXCEPTION_STACKTRACE] = error.stack
    return (Event(t.EXCEPTION, attributes=attributes, timestamp=span.end * 1000),)


def _links(span: SpanData) -> Iterator[Link]:
    for link in span.links:
        context = SpanContext(int(link.trace_id, 16), int(link.span_id, 16), is_remote=True, trace_flags=_SAMPLED)
        yield Link(context)
