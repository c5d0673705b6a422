"""Traces as a collector sees them: over HTTP, decoded from protobuf."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from eventually import eventually
from penstock.domain.execution import facts as f
from penstock.domain.ids import span_id
from penstock.domain.trace import SpanContext, trace_of
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.positions import Positions
from penstock.ports import Append, Recorded
from penstock.telemetry.encode import encoded
from penstock.telemetry.export import SpanExport
from penstock.telemetry.request import Encoder
from penstock.telemetry.spans import spans_of
from penstock.telemetry.trails import Trails
from penstock.wire.names import Names
from penstock_notifier.spans import READER, SpanLoop
from sample_facts import FUNCTION, new_id, now
from services.notifier.collector import Collector, attributes_of
from services.notifier.sdk_spans import Converter

CALLER = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
BOOM = f.ErrorInfo(code="user_error", type="ValueError", message="boom", stack="Traceback: boom")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    # The exporter tries again by itself for so long before it says no.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    yield collector
    collector.close()


class Copy:
    """One running copy of the span loop."""

    def __init__(self, log: JetStreamLog, names: Names, connection: Connection, room: int = 1000) -> None:
        self.export = SpanExport(names.environment)
        self.bookmark = Positions(connection, names)
        self.loop = SpanLoop(Trails(log, names, room), self.export, self.bookmark)
        self._log = log

    async def start(self) -> None:
        after = await self.loop.start_position(self._log)
        self._task = asyncio.create_task(self.loop.run(self._log.follow(after)))

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        await self.export.close()
        await self.loop.store_position()


@pytest.fixture
async def copy(
    collector: Collector, log: JetStreamLog, environment: Names, connection: Connection
) -> AsyncIterator[Copy]:
    copy = Copy(log, environment, connection)
    await copy.start()
    yield copy
    await copy.stop()


async def append(log: JetStreamLog, execution_id: str, *facts: f.AnyFact) -> None:
    """Append to what is there, one fact at a time, as services do."""
    recorded = await log.read(execution_id, FUNCTION)
    last = recorded[-1].sequence if recorded else 0
    for fact in facts:
        entry = Append(execution_id=execution_id, function=FUNCTION, facts=[fact], expected=last)
        last = await log.append(entry)


def created(execution_id: str, caller: SpanContext | None = None, run_at: int | None = None) -> f.Enqueued:
    trace_id, parent, links = trace_of(execution_id, caller, immediate=run_at is None)
    return f.Enqueued(
        n=1, at=now(), function=FUNCTION, run_at=run_at, trace_id=trace_id, parent_span=parent, links=links
    )


def retried() -> list[f.AnyFact]:
    at = now()
    return [
        f.Started(n=2, at=at + 10, activation=1, attempt=1, runner="r1"),
        f.RetryScheduled(n=3, at=at + 20, attempt=1, error=BOOM, retry_at=at + 30),
        f.Due(n=4, at=at + 30),
        f.Started(n=5, at=at + 40, activation=4, attempt=2, runner="r1"),
        f.Succeeded(n=6, at=at + 50, attempt=2),
    ]


@pytest.mark.usefixtures("copy")
async def test_an_execution_is_one_trace(log: JetStreamLog, collector: Collector) -> None:
    """With enqueue, queue time, each attempt, the error and the retry; ids as the rule says."""
    execution_id = new_id()
    await append(log, execution_id, created(execution_id), *retried())
    trace = await eventually(lambda: FUNCTION in collector.trace(execution_id) and collector.trace(execution_id))
    assert set(trace) == {"enqueue", "queued", "started", "attempt 1", "retry wait", "attempt 2", FUNCTION}
    assert trace[FUNCTION].span_id.hex() == span_id(execution_id)
    assert trace["attempt 1"].span_id.hex() == span_id(execution_id, "attempt", "1")
    assert trace["attempt 1"].parent_span_id.hex() == span_id(execution_id)
    assert trace["attempt 1"].status.code == 2
    assert attributes_of(trace["attempt 1"].events[0]) == {
        "exception.type": "ValueError",
        "exception.message": "boom",
        "exception.stacktrace": "Traceback: boom",
    }
    assert trace["attempt 2"].status.code == 0
    attributes = attributes_of(trace["attempt 2"])
    assert (attributes["penstock.attempt"], attributes["faas.name"]) == (2, FUNCTION)
    assert attributes["penstock.execution.id"] == execution_id
    assert trace["attempt 1"].end_time_unix_nano - trace["attempt 1"].start_time_unix_nano == 10_000


@pytest.mark.usefixtures("copy")
async def test_each_span_belongs_to_the_service_that_did_it(log: JetStreamLog, collector: Collector) -> None:
    """As resources."""
    execution_id = new_id()
    await append(log, execution_id, created(execution_id), *retried())
    await eventually(lambda: len(collector.received) >= 9)
    services = {span.name: service for service, span in collector.received}
    assert services["enqueue"] == "penstock-ingest"
    assert services["queued"] == services["retry wait"] == "penstock-scheduler"
    assert services["attempt 1"] == services["attempt 2"] == "penstock-runner"


@pytest.mark.usefixtures("copy")
async def test_what_runs_at_once_continues_the_trace_of_its_caller(log: JetStreamLog, collector: Collector) -> None:
    """As a child of the caller's span."""
    execution_id = new_id()
    await append(log, execution_id, created(execution_id, CALLER), f.Cancelled(n=2, at=now()))
    trace = await eventually(lambda: FUNCTION in collector.trace(CALLER.trace_id) and collector.trace(CALLER.trace_id))
    assert trace[FUNCTION].parent_span_id.hex() == CALLER.span_id
    assert not trace[FUNCTION].links


@pytest.mark.usefixtures("copy")
async def test_what_is_delayed_has_a_trace_of_its_own_with_a_link(log: JetStreamLog, collector: Collector) -> None:
    """The trace id is the execution id."""
    execution_id = new_id()
    await append(log, execution_id, created(execution_id, CALLER, now() + 1), f.Cancelled(n=2, at=now()))
    trace = await eventually(lambda: FUNCTION in collector.trace(execution_id) and collector.trace(execution_id))
    links = [(link.trace_id.hex(), link.span_id.hex()) for link in trace[FUNCTION].links]
    assert links == [(CALLER.trace_id, CALLER.span_id)]
    assert not trace[FUNCTION].parent_span_id


async def test_a_collector_that_was_down_gets_everything(log: JetStreamLog, collector: Collector, copy: Copy) -> None:
    """The gap is filled when it is back, and the problem is shown meanwhile."""
    collector.is_down = True
    first, second = new_id(), new_id()
    await append(log, first, created(first), *retried())
    await eventually(lambda: collector.refused and copy.export.problem)
    await append(log, second, created(second), *retried())
    collector.is_down = False
    await eventually(lambda: len(collector.trace(first)) == len(collector.trace(second)) == 7, within=20)
    assert copy.export.problem is None


async def test_spans_that_a_collector_refuses_do_not_hold_up_the_others(
    log: JetStreamLog, collector: Collector, copy: Copy
) -> None:
    """They are left out; all else arrives, each once."""
    collector.refuses = "attempt 1"
    first = new_id()
    await append(log, first, created(first), *retried())
    await eventually(lambda: FUNCTION in collector.trace(first))
    await eventually(lambda: copy.export.done >= 6)
    names = sorted(span.name for _, span in collector.received)
    assert set(collector.trace(first)) == {"enqueue", "queued", "started", "retry wait", "attempt 2", FUNCTION}
    assert "attempt 1" not in names
    assert copy.export.problem is None


async def test_a_collector_that_refuses_everything_loses_nothing(
    log: JetStreamLog, collector: Collector, copy: Copy
) -> None:
    """Then the fault is not in the spans, such as with an address of something else: they wait."""
    collector.refuses = "*"
    first = new_id()
    await append(log, first, created(first), f.Cancelled(n=2, at=now()))
    await eventually(lambda: collector.refused and copy.export.problem)
    collector.refuses = ""
    await eventually(lambda: FUNCTION in collector.trace(first), within=20)
    assert set(collector.trace(first)) == {"enqueue", "queued", "notify", FUNCTION}


async def test_a_restart_goes_on_where_the_collector_had_got_to(
    log: JetStreamLog, collector: Collector, environment: Names, connection: Connection
) -> None:
    """Spans of executions that were under way are complete, and those already taken are not sent again."""
    one = Copy(log, environment, connection)
    await one.start()
    execution_id = new_id()
    facts = retried()
    await append(log, execution_id, created(execution_id), *facts[:3])
    await eventually(lambda: "retry wait" in collector.trace(execution_id))
    position = await log.last_sequence()
    await eventually(lambda: one.export.done == position)
    await one.stop()
    assert await one.bookmark.load(READER) == position
    await append(log, execution_id, *facts[3:])
    two = Copy(log, environment, connection)
    await two.start()
    await eventually(lambda: FUNCTION in collector.trace(execution_id))
    await two.stop()
    names = [span.name for _, span in collector.received]
    assert sorted(names) == sorted(
        ["enqueue", "queued", "started", "attempt 1", "retry wait", "queued", "started", "attempt 2", FUNCTION]
    )


async def test_forgotten_trails_are_read_from_the_log(
    log: JetStreamLog, collector: Collector, environment: Names, connection: Connection
) -> None:
    """With room for one open execution, two interleaved ones still have all their spans."""
    copy = Copy(log, environment, connection, room=1)
    await copy.start()
    first, second = new_id(), new_id()
    await append(log, first, created(first))
    await append(log, second, created(second))
    for fact in retried():
        await append(log, first, fact)
        await append(log, second, fact)
    await eventually(lambda: len(collector.trace(first)) == len(collector.trace(second)) == 7)
    await copy.stop()


async def test_a_stop_is_quick_while_the_collector_is_down(
    log: JetStreamLog, collector: Collector, environment: Names, connection: Connection
) -> None:
    """Within two seconds, and the position has not moved."""
    collector.is_down = True
    copy = Copy(log, environment, connection)
    await copy.start()
    execution_id = new_id()
    await append(log, execution_id, created(execution_id), *retried())
    await eventually(lambda: collector.refused)
    began = time.monotonic()
    await copy.stop()
    assert time.monotonic() - began < 2.0
    assert await copy.bookmark.load(READER) == 0


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded() -> None:
    """Neither modules nor threads."""
    program = (
        "import sys, threading, penstock_notifier.app as app\n"
        "from penstock.telemetry.switch import is_on\n"
        "print(is_on({}), any(name.startswith('opentelemetry') for name in sys.modules), threading.active_count())"
    )
    environ = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "1"]


def test_our_encoder_says_what_the_encoder_of_the_sdk_says() -> None:
    """Span for span, but for the sampled flag, which the SDK leaves out, and its empty status."""
    execution_id = new_id()
    delayed = [created(new_id(), CALLER, now() + 1), f.Discarded(n=2, at=now())]
    facts = [created(execution_id, CALLER), *retried()]
    history = [Recorded(execution_id, FUNCTION, n, fact) for n, fact in enumerate(facts, start=1)]
    spans = spans_of(history) + spans_of([Recorded("a" * 32, FUNCTION, n, fact) for n, fact in enumerate(delayed, 1)])
    ours = ExportTraceServiceRequest.FromString(Encoder("dev").encode([encoded(span) for span in spans]))
    converter = Converter("dev")
    theirs = encode_spans([converter.convert(span) for span in spans])
    for request in (ours, theirs):
        for group in request.resource_spans:
            for span in group.scope_spans[0].spans:
                span.flags &= ~0x01
                if not span.status.code:
                    span.ClearField("status")
                for link in span.links:
                    link.flags &= ~0x01
    assert [MessageToDict(group.scope_spans[0]) for group in ours.resource_spans] == [
        MessageToDict(group.scope_spans[0]) for group in theirs.resource_spans
    ]
