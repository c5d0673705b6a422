"""What is current for OpenTelemetry while user code runs: the span of its attempt or step, and the caller's baggage.

Only where user code has loaded OpenTelemetry; its own spans then nest below ours, which are made from facts elsewhere
and have ids that can be known before.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from penstock.domain.ids import span_id
from penstock.functions.operations import unseen
from penstock.telemetry.paths import step_path
from penstock_runner.workers.messages import Run

if TYPE_CHECKING:
    from opentelemetry import trace

LOADED = "opentelemetry"


def enter_attempt(run: Run) -> None:
    """Make the attempt's span and the baggage current. Nothing of an earlier attempt stays."""
    if LOADED not in sys.modules:
        return
    from opentelemetry import context, trace
    from opentelemetry.baggage.propagation import W3CBaggagePropagator

    fresh = context.Context()
    if run.baggage:
        fresh = W3CBaggagePropagator().extract({"baggage": run.baggage}, fresh)
    context.attach(trace.set_span_in_context(_span(run, "attempt", str(run.attempt)), fresh))


def in_step(run: Run, step: str, tried: int) -> Callable[[], object]:
    """Make the step's span current; what is returned makes the one before it current again."""
    if LOADED not in sys.modules:
        return unseen(step, tried)
    from opentelemetry import context, trace

    token = context.attach(trace.set_span_in_context(_span(run, *step_path(run.attempt, step, tried))))
    return partial(context.detach, token)


def _span(run: Run, *path: str) -> "trace.Span":
    from opentelemetry import trace

    state = trace.TraceState.from_header([run.tracestate]) if run.tracestate else None
    span = trace.SpanContext(
        trace_id=int(run.trace_id, 16),
        span_id=int(span_id(run.execution_id, *path), 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        trace_state=state,
    )
    return trace.NonRecordingSpan(span)
