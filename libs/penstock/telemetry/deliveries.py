"""Spans of notifications to channels, from the facts of their deliveries. Pure.

A delivery is part of the trace of the execution that it tells of; one that tells of none has a trace of its own, whose
id is that of the notification.
"""

from collections.abc import Iterable

from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.ids import span_id
from penstock.domain.notify.delivery import Delivery, evolve
from penstock.domain.system import AnySystemFact, NotificationFailed, NotificationSent
from penstock.domain.trace import SpanContext
from penstock.telemetry import names as t
from penstock.telemetry.span import SpanData, Value

REFUSED = "notification_failed"


def delivery_context(delivery: Delivery, trace_id: str) -> SpanContext:
    """The span of a delivery, which its receivers find in `traceparent`. `trace_id` is that of the execution."""
    notice = delivery.notice
    path: tuple[str, ...] = ("notify", delivery.channel, notice.id)
    if delivery.tries_before:
        path = (*path, "replay", str(delivery.tries_before))
    return SpanContext(trace_id or notice.id, span_id(notice.execution_id or notice.id, *path))


def delivery_spans(history: Iterable[tuple[int, AnySystemFact]], sequence: int, trace_id: str) -> list[SpanData]:
    """What the fact at `sequence` of one delivery completes: a try that failed, and the delivery when it is over."""
    state: Delivery | None = None
    for at, fact in history:
        state = evolve(state, fact, at)
        if at < sequence or state is None:
            continue
        if isinstance(fact, NotificationSent):
            return [_whole(state, trace_id, None)]
        if not isinstance(fact, NotificationFailed):
            return []
        error = ErrorInfo(code=REFUSED, message=fact.detail)
        spans = [_try(state, trace_id, error)]
        return [*spans, _whole(state, trace_id, error)] if fact.next_at is None else spans
    return []


def _whole(state: Delivery, trace_id: str, error: ErrorInfo | None) -> SpanData:
    context = delivery_context(state, trace_id)
    execution_id = state.notice.execution_id
    return SpanData(
        name=f"{t.NOTIFY} {state.channel}", part="notifier", kind="client", trace_id=context.trace_id,
        span_id=context.span_id, parent_id=span_id(execution_id) if trace_id else None,
        start=state.begun_at, end=max(state.begun_at, state.updated_at),
        attributes={**_attributes(state, error), t.NOTIFICATION_TRIES: state.tries}, error=error,
    )  # fmt: skip


def _try(state: Delivery, trace_id: str, error: ErrorInfo) -> SpanData:
    context, number = delivery_context(state, trace_id), str(state.tries)
    return SpanData(
        name=f"{t.NOTIFY_TRY} {number}", part="notifier", kind="client", trace_id=context.trace_id,
        span_id=span_id(context.span_id, "try", number), parent_id=context.span_id,
        start=state.updated_at, end=state.updated_at, attributes=_attributes(state, error), error=error,
    )  # fmt: skip


def _attributes(state: Delivery, error: ErrorInfo | None) -> dict[str, Value]:
    notice = state.notice
    found: dict[str, Value] = {
        t.NOTIFICATION_ID: notice.id,
        t.NOTIFICATION_CHANNEL: state.channel,
        t.NOTIFICATION_RULE: notice.rule,
        t.NOTIFICATION_ABOUT: notice.about,
    }
    if notice.function:
        found[t.FAAS_NAME] = notice.function
    if notice.execution_id:
        found[t.EXECUTION_ID] = notice.execution_id
    if error is not None:
        found[t.ERROR_TYPE] = error.code
    return found
