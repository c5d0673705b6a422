"""Trace context on its way out: as headers for HTTP and NATS, and as environment variables for commands."""

from penstock.domain.trace import Carried, format_traceparent
from penstock.wire.names import BAGGAGE, TRACEPARENT, TRACESTATE


def trace_headers(carried: Carried) -> dict[str, str]:
    """Only those that say something."""
    headers = {TRACEPARENT: format_traceparent(carried.caller)} if carried.caller is not None else {}
    if carried.tracestate:
        headers[TRACESTATE] = carried.tracestate
    if carried.baggage:
        headers[BAGGAGE] = carried.baggage
    return headers


def trace_variables(carried: Carried) -> dict[str, str]:
    """The same under the names that OpenTelemetry gives them in environments."""
    return {name.upper(): value for name, value in trace_headers(carried).items()}
