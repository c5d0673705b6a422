"""Spans from facts: their ids, their parents, their times, and nothing lost or doubled."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.execution.decide import decide
from penstock.domain.execution.evolve import evolve
from penstock.domain.ids import span_id
from penstock.ports import Recorded
from penstock.telemetry import names as t
from penstock.telemetry.spans import SpanData, Trail, spans_of
from penstock.telemetry.switch import is_on
from penstock.testing.given import EXECUTION_ID
from unit.histories import BOOM, TRACE, enqueued, lost, retry_scheduled, started
from unit.test_properties import commands, first

STEP = f.StepCompleted(n=3, at=30, attempt=1, step="extract", started_at=25, result=Raw(b"1"))


def spans(*facts: f.AnyFact | f.Unknown) -> dict[str, SpanData]:
    """Name -> span; no two may share an id."""
    found = spans_of([Recorded(EXECUTION_ID, "work", number, fact) for number, fact in enumerate(facts, start=1)])
    assert len({span.span_id for span in found}) == len(found)
    return {span.name: span for span in found}


RETRIED = (
    enqueued(at=10, parent_span="b7ad6b7169203331"),
    started(at=20),
    retry_scheduled(at=40, retry_at=90),
    f.Due(n=4, at=95),
    started(n=5, at=100, activation=4, attempt=2),
    f.Succeeded(n=6, at=120, attempt=2),
)


def test_an_execution_has_a_span_for_each_of_its_parts() -> None:
    """All in the trace of its first fact."""
    found = spans(*RETRIED)
    assert set(found) == {"enqueue", "queued", "attempt 1", "retry wait", "attempt 2", "work"}
    assert {span.trace_id for span in found.values()} == {TRACE}


def test_span_ids_are_what_anyone_can_compute() -> None:
    """From the execution and the path in it."""
    found = spans(*RETRIED)
    assert found["work"].span_id == span_id(EXECUTION_ID)
    assert found["enqueue"].span_id == span_id(EXECUTION_ID, "enqueue")
    assert found["attempt 2"].span_id == span_id(EXECUTION_ID, "attempt", "2")
    assert found["retry wait"].span_id == span_id(EXECUTION_ID, "retry", "1")
    assert found["queued"].span_id == span_id(EXECUTION_ID, "queued", "4")


def test_the_execution_is_the_parent_of_its_parts_and_the_caller_its_own() -> None:
    """One tree."""
    found = spans(*RETRIED)
    assert found["work"].parent_id == "b7ad6b7169203331"
    assert {span.parent_id for name, span in found.items() if name != "work"} == {found["work"].span_id}


def test_spans_have_the_times_of_their_facts() -> None:
    """Queue time ends at the start, the backoff when it is due."""
    found = spans(*RETRIED)
    times = {name: (span.start, span.end) for name, span in found.items()}
    assert times == {
        "enqueue": (10, 10),
        "queued": (95, 100),
        "attempt 1": (20, 40),
        "retry wait": (40, 95),
        "attempt 2": (100, 120),
        "work": (10, 120),
    }


def test_a_failed_attempt_shows_its_error_and_a_later_success_does_not() -> None:
    """Each attempt has its own outcome."""
    found = spans(*RETRIED)
    assert found["attempt 1"].error == BOOM
    assert found["attempt 1"].attributes[t.ERROR_TYPE] == "user_error"
    assert found["attempt 2"].error is None
    assert found["work"].error is None


def test_a_failed_execution_shows_its_error_on_attempt_and_root() -> None:
    """Both are what people look for."""
    found = spans(enqueued(), started(), f.Failed(n=3, at=5, attempt=1, error=BOOM))
    assert found["attempt 1"].error == found["work"].error == BOOM


def test_a_step_is_a_child_of_its_attempt() -> None:
    """With the time it took."""
    found = spans(enqueued(), started(at=20), STEP)
    step = found["step extract"]
    assert step.span_id == span_id(EXECUTION_ID, "attempt", "1", "step", "extract")
    assert step.parent_id == span_id(EXECUTION_ID, "attempt", "1")
    assert (step.start, step.end) == (25, 30)


def test_a_delay_is_a_span_until_it_is_due() -> None:
    """Then the queue time begins."""
    found = spans(enqueued(at=10, run_at=50), f.Due(n=2, at=51), started(n=3, at=60, activation=2))
    assert (found["delay"].start, found["delay"].end) == (10, 51)
    assert (found["queued"].start, found["queued"].end) == (51, 60)


def test_a_lost_attempt_is_an_error_of_its_runner() -> None:
    """Not of the function."""
    found = spans(enqueued(), started(), lost(at=5), f.Due(n=4, at=5))
    error = found["attempt 1"].error
    assert error is not None
    assert error.code == "runner_lost"


def test_a_cancelled_execution_closes_what_was_open() -> None:
    """The time in the queue ended, too."""
    found = spans(enqueued(at=1), f.Cancelled(n=2, at=9))
    assert (found["queued"].start, found["queued"].end) == (1, 9)
    assert found["work"].attributes[t.EXECUTION_STATE] == "cancelled"


def test_links_are_on_the_root() -> None:
    """A delayed execution is linked to its caller."""
    link = f.Link(trace_id="1" * 32, span_id="2" * 16)
    assert spans(enqueued(links=[link]), f.Cancelled(n=2, at=9))["work"].links == [link]


def test_no_span_ends_before_it_starts() -> None:
    """Clocks of two machines differ."""
    found = spans(enqueued(at=100), started(at=90), f.Succeeded(n=3, at=80, attempt=1))
    assert all(span.end >= span.start for span in found.values())


def test_a_history_without_its_beginning_gives_no_spans() -> None:
    """Their trace is not known."""
    assert not spans(started(), f.Succeeded(n=3, at=80, attempt=1))


def test_a_fact_that_comes_again_gives_no_span_again() -> None:
    """A follower may repeat itself."""
    trail = Trail(EXECUTION_ID)
    assert trail.add(enqueued())
    assert not trail.add(enqueued())


@settings(max_examples=40, deadline=None)
@given(data=st.data(), creation=first)
def test_increments_make_the_whole_and_leave_nothing_open(data: st.DataObject, creation: f.Enqueued) -> None:
    """Wherever the trail was lost and rebuilt; every id once, and one root exactly when the execution has ended."""
    history = _history(data, creation)
    whole = spans_of(history)
    cut = data.draw(st.integers(0, len(history)))
    rebuilt = Trail(EXECUTION_ID)
    before = [span for recorded in history[:cut] for span in rebuilt.add(recorded.fact)]
    after = [span for recorded in history for span in rebuilt.add(recorded.fact)]
    assert before + after == whole
    assert before == spans_of(history[:cut])
    assert len({span.span_id for span in whole}) == len(whole)
    ended = isinstance(history[-1].fact, f.FINAL)
    assert sum(span.span_id == span_id(EXECUTION_ID) for span in whole) == ended
    starts = sum(isinstance(recorded.fact, f.Started) for recorded in history)
    if ended:
        assert sum(span.name.startswith(t.ATTEMPT) for span in whole) == starts


def _history(data: st.DataObject, creation: f.Enqueued) -> Sequence[Recorded]:
    facts: list[f.AnyFact] = [creation]
    state = evolve(None, EXECUTION_ID, creation)
    for now in range(0, 120, 10):
        try:
            more = decide(state, data.draw(commands(state.activation)), now, 0.5)
        except Rejected:
            continue
        for fact in more:
            state = evolve(state, EXECUTION_ID, fact)
        facts.extend(more)
    return [Recorded(EXECUTION_ID, "work", number, fact) for number, fact in enumerate(facts, start=1)]


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
    ],
)
def test_the_standard_variables_switch_it(environ: dict[str, str], on: bool) -> None:
    """Off without an endpoint."""
    assert is_on(environ) is on


def test_every_attribute_and_span_is_registered_with_a_description() -> None:
    """Dashboards are built on these names: what is used is registered, and what is registered says what it means."""
    everything = [
        span
        for history in (RETRIED, (enqueued(event_id="e", parent_id="p", rerun_of="r"), started(), STEP, RETRIED[-1]))
        for span in spans_of([Recorded(EXECUTION_ID, "work", n, fact) for n, fact in enumerate(history, start=1)])
    ]
    assert {name for span in everything for name in span.attributes} <= set(t.ATTRIBUTES)
    assert all(name.description.endswith(".") for name in (*t.ATTRIBUTES, *t.SPANS))
