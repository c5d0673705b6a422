"""Spans from facts: pure, so that a crash loses none and the log can give them all again.

A `Trail` remembers what is open in one execution; each fact closes some spans and opens others. Span ids are
`ids.span_id` of the execution and the path in it: none for the execution itself, `enqueue`, `delay/<n>`, `queued/<n>`,
`attempt/<number>`, `retry/<number>`, `attempt/<number>/step/<name>`, `attempt/<number>/step/<name>/try/<try>` from the
second try on, `attempt/<number>/call/<name>`, `wait/<n>/<name>`, `paused/<n>` and `undo/<n>`, with <n> the number
of the fact that began it. An attempt that waits and goes on is one attempt and one span. Moments without a duration
tell of what has no end yet: `attempt/<number>/started`, `suspended/<n>`, and `notify` of what is told to others.
"""

from collections.abc import Iterable
from typing import assert_never

from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve_durable import DURABLE, AnyDurableFact
from penstock.domain.ids import span_id
from penstock.ports import Recorded
from penstock.telemetry import names as t
from penstock.telemetry.origin import links_of, origin_of, trigger_of
from penstock.telemetry.paths import notify_span, step_path
from penstock.telemetry.span import Kind, Part, SpanData, Value
from penstock.telemetry.waits import Over, Pending
from penstock.wire.cloudevents import instant


class Trail:
    """What is open in one execution. `add` takes its facts in order and answers with the spans that each completes."""

    __slots__ = (
        "_attempt", "_closed", "_failures", "_first", "_joined", "_pause", "_pending", "_queued", "_root", "_started",
        "_trigger", "_undoing", "execution_id", "last",
    )  # fmt: skip

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        self.last = 0
        """Number of the newest fact taken; one that comes again is passed over."""
        self._first: f.Enqueued | None = None
        self._root = span_id(execution_id)
        self._queued: tuple[int, int] | None = None
        """(number, time) of the run fact whose activation nobody has started."""
        self._pause: tuple[str, str, int] | None = None
        """(`delay`, `retry` or `paused`, its number, time) of the pause under way."""
        self._started: f.Started | None = None
        """The first start of the attempt under way."""
        self._joined: f.Joined | None = None
        self._attempt = ""
        """Span id of the attempt that was started last."""
        self._closed = 0
        """The last attempt that is over: what starts under its number only undoes its steps."""
        self._undoing: f.Compensating | None = None
        self._pending = Pending()
        self._failures: dict[str, int] = {}
        """How often steps have failed that are tried again: each try has its own span."""
        self._trigger: dict[str, Value] = {}

    def add(self, fact: f.AnyFact | f.Unknown) -> list[SpanData]:
        """The spans that this fact completes. A history without its first fact gives none."""
        if fact.n <= self.last:
            return []
        self.last = fact.n
        if type(fact) is f.Enqueued:
            return [self._begin(fact)]
        if self._first is None:
            return []
        # What nearly all executions have comes first: each case that does not fit costs time.
        if type(fact) is f.Started:
            return self._start(fact)
        if type(fact) is f.Succeeded:
            return self._end(fact, "succeeded", None)
        if isinstance(fact, DURABLE):
            return self._add_durable(fact)
        match fact:
            case f.Due():
                spans = [*self._dequeue(fact.at), *self._resume(fact.at)]
                self._queued = (fact.n, fact.at)
                return spans
            case f.RetryScheduled():
                spans = self._stop(fact, fact.error)
                # Undoing begins under the number of an attempt that may have had its backoff.
                number = str(fact.attempt) if self._undoing is None else f"undo/{fact.n}"
                self._pause = ("retry", number, fact.at)
                return spans
            case f.AttemptLost():
                return self._stop(fact, f.ErrorInfo(code="runner_lost", message=f"{fact.runner}: {fact.reason}"))
            case f.Rescheduled():
                spans = [*self._dequeue(fact.at), *self._resume(fact.at)]
                self._pause = ("delay", str(fact.n), fact.at)
                return spans
            case f.Failed():
                return self._end(fact, "failed", fact.error)
            case f.Cancelled():
                error = f.ErrorInfo(code="cancelled", message=fact.reason or "The execution was cancelled.")
                return self._end(fact, "cancelled", error)
            case f.Discarded():
                error = f.ErrorInfo(code="discarded", message=fact.reason or "The execution was not started in time.")
                return self._end(fact, "discarded", error)
            case f.Joined():
                self._joined = fact
                return []
            case f.Admitted() | f.Followed() | f.CancelRequested() | f.Unknown():
                # Waiting for admission and waiting for a runner are one queue time.
                return []
            case _:
                assert_never(fact)

    def _add_durable(self, fact: AnyDurableFact) -> list[SpanData]:
        match fact:
            case f.StepCompleted():
                return [self._step(fact, self._failures.pop(fact.step, 0) + 1, {}, None)]
            case f.StepFailed():
                self._failures[fact.step] = fact.failures
                return [self._step(fact, fact.failures, {t.STEP_FAILURES: fact.failures}, fact.error)]
            case f.WaitOpened():
                self._pending.opened(fact, self._parent)
                return [self._suspend(fact)] if fact.suspends else []
            case f.Woken():
                return self._woken(fact, self._pending.woken(fact))
            case f.ChildCalled():
                number = self._started.attempt if self._started is not None else self._closed
                return self._over(fact.at, self._pending.called(fact, number, self._parent))
            case f.ChildCompleted():
                return self._woken(fact, self._pending.child_completed(fact))
            case f.Paused():
                spans = self._stop(fact, fact.error)
                self._pause = ("paused", str(fact.n), fact.at)
                return spans
            case f.Resumed():
                spans = self._resume(fact.at)
                self._queued = (fact.n, fact.at)
                return spans
            case f.Compensating():
                spans = [*self._dequeue(fact.at), *self._resume(fact.at)]
                spans += self._over(fact.at, self._pending.close_waits())
                spans += self._stop(fact, fact.error)
                self._undoing = fact
                return spans
            case f.Suspended():
                return [self._suspend(fact)]
            case f.StepStarted() | f.MessageReceived() | f.Progressed():
                return []
            case _:
                assert_never(fact)

    @property
    def _parent(self) -> str:
        """Span id of what is under way: the undoing, the attempt, or the execution."""
        if self._undoing is not None:
            return span_id(self.execution_id, "undo", str(self._undoing.n))
        return self._attempt if self._started is not None else self._root

    def _begin(self, fact: f.Enqueued) -> SpanData:
        self._first = fact
        self._trigger = trigger_of(fact)
        own = _messaging("enqueue", "send", fact.function)
        if fact.run_at is None:
            self._queued = (fact.n, fact.at)
        else:
            self._pause = ("delay", str(fact.n), fact.at)
            own[t.EXECUTION_RUN_AT] = instant(fact.run_at)
        span = span_id(self.execution_id, "enqueue")
        return self._span(t.ENQUEUE, "ingest", span, fact.at, fact.at, own, kind="producer")

    def _dequeue(self, at: int) -> list[SpanData]:
        """The time in the queue is over."""
        if self._queued is None:
            return []
        (number, since), self._queued = self._queued, None
        own = span_id(self.execution_id, "queued", str(number))
        return [self._span(t.QUEUED, "scheduler", own, since, at, {t.ACTIVATION: number}, parent=self._parent)]

    def _resume(self, at: int) -> list[SpanData]:
        """The delay or the backoff is over."""
        if self._pause is None:
            return []
        (kind, number, since), self._pause = self._pause, None
        name = {"delay": t.DELAY, "retry": t.RETRY_WAIT, "paused": t.PAUSED}[kind]
        return [self._span(name, "scheduler", span_id(self.execution_id, kind, number), since, at, {})]

    def _start(self, fact: f.Started) -> list[SpanData]:
        spans = self._dequeue(fact.at)
        if self._started is None and fact.attempt > self._closed:
            self._started = fact
            number = str(fact.attempt)
            self._attempt = span_id(self.execution_id, "attempt", number)
            own: dict[str, Value] = {t.ATTEMPT_NUMBER: fact.attempt, t.RUNNER: fact.runner}
            span = span_id(self.execution_id, "attempt", number, "started")
            spans.append(self._span(t.STARTED, "runner", span, fact.at, fact.at, own))
        return spans

    def _suspend(self, fact: f.WaitOpened | f.Suspended) -> SpanData:
        own: dict[str, Value] = {} if fact.wakes_at is None else {t.EXECUTION_WAKES_AT: instant(fact.wakes_at)}
        span = span_id(self.execution_id, "suspended", str(fact.n))
        return self._span(t.SUSPENDED, "scheduler", span, fact.at, fact.at, own, parent=self._parent)

    def _woken(self, fact: f.Woken | f.ChildCompleted, over: list[Over]) -> list[SpanData]:
        if fact.wakes:
            self._queued = (fact.n, fact.at)
        return self._over(fact.at, over)

    def _over(self, at: int, over: list[Over]) -> list[SpanData]:
        return [
            self._span(
                each.name, "scheduler", span_id(self.execution_id, *each.path), each.since, at, each.attributes,
                each.error, each.parent,
            )
            for each in over
        ]  # fmt: skip

    def _stop(self, fact: f.AnyFact, error: f.ErrorInfo | None) -> list[SpanData]:
        """The attempt under way is over."""
        started = self._started
        if started is None:
            return []
        parent = self._parent if self._undoing is not None else None
        failed_step = [self._failed_step(started.attempt, error, fact.at)] if error is not None and error.step else []
        self._started, self._closed = None, started.attempt
        first = self._first
        assert first is not None
        own = _messaging("process", "process", first.function)
        own[t.FAAS_INVOCATION_ID] = self.execution_id
        own[t.ATTEMPT_NUMBER] = started.attempt
        own[t.ATTEMPT_OUTCOME] = f.kind_of(fact)
        own[t.RUNNER] = started.runner
        own |= self._trigger
        if started.version:
            own[t.FAAS_VERSION] = started.version
        name = f"{t.ATTEMPT} {started.attempt}"
        span = self._span(name, "runner", self._attempt, started.at, fact.at, own, error, parent, "consumer")
        return [*failed_step, span]

    def _step(
        self,
        fact: f.StepCompleted | f.StepFailed,
        tried: int,
        own: dict[str, Value],
        error: f.ErrorInfo | None,
    ) -> SpanData:
        span = span_id(self.execution_id, *step_path(fact.attempt, fact.step, tried))
        own |= {t.STEP_NAME: fact.step, t.ATTEMPT_NUMBER: fact.attempt}
        name = f"{t.STEP} {fact.step}"
        return self._span(name, "runner", span, fact.started_at, fact.at, own, error, self._parent)

    def _failed_step(self, attempt: int, error: f.ErrorInfo, at: int) -> SpanData:
        """The step without retries of its own whose error ended the attempt."""
        span = span_id(self.execution_id, *step_path(attempt, error.step, 1))
        own: dict[str, Value] = {t.STEP_NAME: error.step, t.ATTEMPT_NUMBER: attempt}
        return self._span(f"{t.STEP} {error.step}", "runner", span, error.step_at, at, own, error, self._parent)

    def _end(self, fact: f.AnyFact, state: str, error: f.ErrorInfo | None) -> list[SpanData]:
        first = self._first
        assert first is not None
        spans = [*self._dequeue(fact.at), *self._resume(fact.at)]
        spans += self._over(fact.at, self._pending.close_all())
        spans += self._stop(fact, error)
        if self._undoing is not None:
            undoing, span = self._undoing, self._parent
            self._undoing = None
            own: dict[str, Value] = {t.ATTEMPT_OUTCOME: undoing.outcome}
            spans.append(self._span(t.UNDO, "runner", span, undoing.at, fact.at, own, undoing.error))
        if state != "succeeded":
            spans.append(self._notify(fact.at, state))
        own = {**origin_of(first, self._joined), **self._trigger}
        own[t.FAAS_INVOCATION_ID] = self.execution_id
        own[t.EXECUTION_STATE] = state
        links = links_of(first, self._joined)
        spans.append(self._span(first.function, "ingest", self._root, first.at, fact.at, own, error, links=links))
        return spans

    def _notify(self, at: int, state: str) -> SpanData:
        """What the notifier publishes on NATS about this end; its receivers find the span in `traceparent`."""
        own: dict[str, Value] = {
            t.MESSAGING_SYSTEM: "nats",
            t.MESSAGING_OPERATION_NAME: "notify",
            t.MESSAGING_OPERATION_TYPE: "send",
            t.NOTIFICATION_ABOUT: state,
        }
        return self._span(t.NOTIFY, "notifier", notify_span(self.execution_id), at, at, own, kind="producer")

    def _span(
        self,
        name: str,
        part: Part,
        own: str,
        start: int,
        end: int,
        attributes: dict[str, Value],
        error: f.ErrorInfo | None = None,
        parent: str | None = None,
        kind: Kind = "internal",
        links: list[f.Link] | None = None,
    ) -> SpanData:
        first = self._first
        assert first is not None
        attributes[t.FAAS_NAME] = first.function
        attributes[t.EXECUTION_ID] = self.execution_id
        if error is not None:
            attributes[t.ERROR_TYPE] = error.code
        if parent is None:
            parent = first.parent_span if own is self._root else self._root
        return SpanData(
            name=name, part=part, kind=kind, trace_id=first.trace_id, span_id=own, parent_id=parent,
            # Clocks of two machines may differ by more than a queue takes; no span ends before it starts.
            start=start, end=end if end > start else start, attributes=attributes, error=error, links=links or [],
            state=first.tracestate,
        )  # fmt: skip


def _messaging(name: str, kind: str, destination: str) -> dict[str, Value]:
    return {
        t.MESSAGING_SYSTEM: "nats",
        t.MESSAGING_OPERATION_NAME: name,
        t.MESSAGING_OPERATION_TYPE: kind,
        t.MESSAGING_DESTINATION: destination,
    }


def spans_of(history: Iterable[Recorded]) -> list[SpanData]:
    """All finished spans of one execution, in the order in which its facts completed them."""
    spans: list[SpanData] = []
    trail: Trail | None = None
    for recorded in history:
        if trail is None:
            trail = Trail(recorded.execution_id)
        spans += trail.add(recorded.fact)
    return spans
