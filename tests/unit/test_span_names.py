"""The names on spans: those that are emitted are those that are registered, and they say where work comes from."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.semconv._incubating.attributes import faas_attributes, messaging_attributes

from penstock.domain.execution import facts as f
from penstock.domain.notify.notice import Notice
from penstock.domain.schedule.start import tick_enqueued
from penstock.domain.system import AnySystemFact, NotificationDue, NotificationFailed, NotificationReplayed
from penstock.domain.system import NotificationSent as Sent
from penstock.ports import Recorded
from penstock.telemetry import names as t
from penstock.telemetry.deliveries import delivery_spans
from penstock.telemetry.encode import encoded
from penstock.telemetry.request import Encoder
from penstock.telemetry.span import SpanData
from penstock.telemetry.spans import spans_of
from penstock.testing.given import EXECUTION_ID
from schedules import spec
from unit.durable_histories import compensating, step
from unit.histories import BOOM, TRACE, enqueued, started
from unit.test_spans import DURABLE, RETRIED

NOTICE = Notice(
    id="5" * 32, rule="each", about="failed", at=5, text="work failed", function="work", execution_id=EXECUTION_ID
)
DELIVERED: tuple[AnySystemFact, ...] = (
    NotificationDue(at=10, channel="ops", notice=NOTICE),
    NotificationFailed(at=20, detail="HTTP 500", next_at=30),
    NotificationFailed(at=40, detail="HTTP 500"),
    NotificationReplayed(at=50, author="ada"),
    Sent(at=60, detail="HTTP 200"),
)
JOINED = f.Joined(n=2, at=5, leader="3" * 32, reason="batch")
ORIGINS: dict[str, Any] = {"event_id": "e", "parent_id": "p", "rerun_of": "r", "restarted_from": "s"}
HISTORIES: tuple[tuple[f.AnyFact, ...], ...] = (
    RETRIED,
    DURABLE,
    (
        enqueued(at=1, run_at=9, **ORIGINS), f.Rescheduled(n=2, at=2, run_at=5), f.Due(n=3, at=5),
        started(n=4, activation=3), f.Paused(n=5, at=9, attempt=1, error=BOOM), f.Resumed(n=6, at=50),
        f.Failed(n=7, at=60, attempt=1, error=BOOM),
    ),
    (enqueued(gated=True), JOINED, f.Succeeded(n=3, at=9, attempt=0)),
    (
        enqueued(), f.Started(n=2, at=1, activation=1, attempt=1, runner="r", version="v1"), step(3, undo=True),
        compensating(4), f.Due(n=5, at=6), started(n=6, activation=5), step(7, "a~undo"),
        f.Failed(n=8, at=9, attempt=1, error=BOOM),
    ),
)  # fmt: skip


def tick() -> f.Enqueued:
    return tick_enqueued(
        "nightly", EXECUTION_ID, 60_000_000, msgspec.structs.replace(spec(), function="work"), 60_000_001
    )


def of(*history: f.AnyFact) -> list[SpanData]:
    return spans_of([Recorded(EXECUTION_ID, "work", n, fact) for n, fact in enumerate(history, start=1)])


def told(facts: tuple[AnySystemFact, ...] = DELIVERED, trace: str = TRACE) -> Iterator[SpanData]:
    for sequence in range(1, len(facts) + 1):
        yield from delivery_spans(enumerate(facts, start=1), sequence, trace)


def emitted() -> list[SpanData]:
    return [*(span for history in HISTORIES for span in of(*history)), *of(tick(), f.Cancelled(n=2, at=9)), *told()]


def registered_name(name: str) -> str | None:
    fitting = [each for each in t.SPANS if name == each or name.startswith(f"{each} ")]
    return max(fitting, key=len, default=None)


def test_every_span_that_is_emitted_is_registered_and_the_other_way_round() -> None:
    """But the root, which has the name of its function."""
    assert {registered_name(span.name) for span in emitted() if span.name != "work"} == set(t.SPANS)


def test_every_attribute_that_is_emitted_is_registered_and_the_other_way_round() -> None:
    """As it leaves the house: on spans, their events and their resources."""
    request = ExportTraceServiceRequest.FromString(Encoder("dev").encode([encoded(span) for span in emitted()]))
    seen: set[str] = set()
    for group in request.resource_spans:
        seen |= {pair.key for pair in group.resource.attributes if not pair.key.startswith("telemetry.sdk.")}
        for span in group.scope_spans[0].spans:
            seen |= {pair.key for pair in span.attributes}
            seen |= {pair.key for event in span.events for pair in event.attributes}
    assert seen == set(t.ATTRIBUTES)


def test_every_name_says_what_it_means() -> None:
    """In a sentence."""
    assert all(name.description.endswith(".") for name in (*t.ATTRIBUTES, *t.SPANS))


def test_names_of_the_conventions_are_those_of_the_conventions() -> None:
    """Nothing of ours stands in a space that is not ours."""
    known = {
        value for module in (faas_attributes, messaging_attributes) for value in vars(module).values()
        if isinstance(value, str)
    }  # fmt: skip
    shared = {name for name in t.ATTRIBUTES if re.match(r"faas\.|messaging\.", name)}
    assert shared - known == {"faas.name", "faas.version"} - known


@pytest.mark.parametrize(
    ("first", "trigger"),
    [
        (enqueued(), "other"),
        (enqueued(event_id="e1"), "pubsub"),
        (tick(), "timer"),
        (enqueued(event=Raw(b'{"name":"penstock.execution.failed","data":{"execution":{}}}')), "other"),
        (enqueued(event=Raw(b"[1]")), "other"),
    ],
)
def test_attempt_and_root_say_what_triggered_them(first: f.Enqueued, trigger: str) -> None:
    """An event, a tick with its schedule, or a call; a hook is called by us."""
    found = {span.name: span for span in of(first, started(), f.Succeeded(n=3, at=9, attempt=1))}
    assert {found[name].attributes[t.FAAS_TRIGGER] for name in ("attempt 1", "work")} == {trigger}
    if trigger == "timer":
        assert found["work"].attributes[t.FAAS_TIME] == "1970-01-01T00:01:00.000000Z"
        assert found["work"].attributes[t.SCHEDULE] == "nightly"


def test_kinds_are_those_of_the_conventions() -> None:
    """Who sends is a producer, who processes a consumer, all else is internal."""
    kinds = {span.name: span.kind for span in of(*RETRIED)}
    assert (kinds["enqueue"], kinds["attempt 1"], kinds["queued"], kinds["work"]) == (
        "producer", "consumer", "internal", "internal"
    )  # fmt: skip


def test_a_delivery_is_a_span_until_it_is_taken_or_given_up() -> None:
    """Each failed try is a moment below it, and a replay is a delivery of its own."""
    first, second, dead, sent = told()
    assert [span.name for span in (first, second, dead, sent)] == [
        "notify try 1", "notify try 2", "notify ops", "notify ops"
    ]  # fmt: skip
    assert (dead.start, dead.end, dead.error) == (10, 40, f.ErrorInfo("notification_failed", message="HTTP 500"))
    assert (sent.start, sent.end, sent.error) == (50, 60, None)
    assert first.parent_id == second.parent_id == dead.span_id != sent.span_id
    assert {span.trace_id for span in (first, dead, sent)} == {TRACE}


def test_a_delivery_about_no_execution_has_a_trace_of_its_own() -> None:
    """Whose id is that of the notification."""
    notice = msgspec.structs.replace(NOTICE, execution_id="", function="")
    (span,) = told((NotificationDue(at=10, channel="ops", notice=notice), Sent(at=60)), "")
    assert (span.trace_id, span.parent_id) == (NOTICE.id, None)


def test_the_readme_shows_every_span_and_an_app_that_works() -> None:
    """Its tree has all names, and its code is a function with a step."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## Traces") : readme.index("## Metrics")]
    assert [name for name in t.SPANS if name not in section] == []
    example = section[section.index("from opentelemetry import trace") :].partition("```")[0]
    shown: dict[str, Any] = {}
    exec(compile(example.replace("trace.set_tracer_provider(provider)", ""), "README.md", "exec"), shown)
    assert (list(shown["app"].functions), shown["render"](7)) == (["invoice"], "invoice 7")
    shown["provider"].shutdown()
