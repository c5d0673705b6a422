"""Spans from facts: their ids, their parents, their times, and nothing lost or doubled."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from examples import examples
from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.execution.decide import decide
from penstock.domain.execution.evolve import evolve
from penstock.domain.ids import span_id
from penstock.ports import Recorded
from penstock.telemetry import names as t
from penstock.telemetry.span import SpanData
from penstock.telemetry.spans import Trail, spans_of
from penstock.telemetry.switch import is_on
from penstock.testing.given import EXECUTION_ID
from unit.durable_histories import (
    CHILD,
    OTHER,
    REJECTED,
    RUNNING,
    called,
    child_done,
    children,
    compensating,
    event,
    message,
    opened,
    sleep,
    step,
    step_failed,
    token,
    woken,
)
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
    assert set(found) == {"enqueue", "queued", "started", "attempt 1", "retry wait", "attempt 2", "work"}
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
        "started": (100, 100),
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


DURABLE = (
    enqueued(at=10), started(at=20), step_failed(3, at=30, retry_at=35), step(4, at=40),
    opened(5, event(group="g"), sleep("nap", 90, group="g"), at=50), woken(6, "nap", at=90, wakes=True),
    started(n=7, at=95, activation=6, runner="r2"), called(8, CHILD, OTHER), opened(9, children(), at=100),
    child_done(10, at=110), child_done(11, OTHER, at=120, wakes=True), started(n=12, at=130, activation=11),
    opened(13, message(), suspends=False, at=140), f.Succeeded(n=14, at=150, attempt=1),
)  # fmt: skip


def test_an_attempt_that_waits_and_goes_on_is_one_span() -> None:
    """From its first start to its outcome; the queue after each wake-up is a span inside it."""
    found = everything(*DURABLE)
    attempts = [span for span in found if span.name.startswith("attempt")]
    assert [(span.name, span.start, span.end) for span in attempts] == [("attempt 1", 20, 150)]
    queued = [(span.start, span.end, span.parent_id) for span in found if span.name == "queued"]
    inside = attempts[0].span_id
    assert queued == [(10, 20, span_id(EXECUTION_ID)), (90, 95, inside), (120, 130, inside)]


def test_a_wait_is_a_span_from_its_opening_until_it_is_over() -> None:
    """Its alternatives have lost; what is open at the end is closed."""
    found = {span.name: span for span in everything(*DURABLE)}
    waits = [span for span in everything(*DURABLE) if span.name.startswith("wait")]
    assert [(span.name, span.start, span.end, span.attributes[t.WAIT_OUTCOME]) for span in waits] == [
        ("wait nap", 50, 90, "elapsed"), ("wait approved", 50, 90, "lost"), ("wait receive", 140, 150, "closed"),
    ]  # fmt: skip
    assert found["wait nap"].span_id == span_id(EXECUTION_ID, "wait", "5", "nap")
    assert found["wait nap"].parent_id == span_id(EXECUTION_ID, "attempt", "1")
    assert found["wait approved"].attributes[t.WAIT_FOR] == "doc.approved"


def test_a_call_is_a_span_until_its_last_child_has_ended() -> None:
    """Its id can be computed before, so that the children's spans may nest below it."""
    call = {span.name: span for span in everything(*DURABLE)}["call call"]
    assert (call.start, call.end, call.attributes[t.CHILDREN]) == (0, 120, 2)
    assert call.span_id == span_id(EXECUTION_ID, "attempt", "1", "call", "call")
    detached = {span.name: span for span in everything(*RUNNING, called(detached=True))}["call call"]
    assert detached.attributes[t.WAIT_OUTCOME] == "detached"


def test_each_failed_try_of_a_step_is_a_span_with_its_error() -> None:
    """Beside the one that worked."""
    tries = [span for span in everything(*DURABLE) if span.name == "step a"]
    assert [(span.error, span.end) for span in tries] == [(BOOM, 30), (None, 40)]
    assert tries[0].span_id == span_id(EXECUTION_ID, "attempt", "1", "step", "a")
    assert tries[1].span_id == span_id(EXECUTION_ID, "attempt", "1", "step", "a", "try", "2")


def test_a_rejected_wait_shows_its_reason() -> None:
    """A time-out is no error of the wait."""
    waiting = (*RUNNING, opened(3, token()))
    rejected = woken(4, "pay", "rejected", error=REJECTED, wakes=True)
    assert {span.name: span for span in everything(*waiting, rejected)}["wait pay"].error == REJECTED
    over = woken(4, "pay", "timed_out", wakes=True)
    assert {span.name: span for span in everything(*waiting, over)}["wait pay"].error is None


def test_a_pause_is_a_span_until_it_is_resumed() -> None:
    """The attempt before it has failed, the one after it is the next."""
    history = (
        enqueued(at=1), started(at=2), f.Paused(n=3, at=9, attempt=1, error=BOOM), f.Resumed(n=4, at=50),
        started(n=5, at=60, activation=4, attempt=2), f.Succeeded(n=6, at=70, attempt=2),
    )  # fmt: skip
    found = spans(*history)
    assert (found["paused"].start, found["paused"].end) == (9, 50)
    assert (found["queued"].start, found["queued"].end) == (50, 60)
    assert found["attempt 1"].error == BOOM
    assert found["attempt 2"].error is None


def test_undoing_is_a_span_with_its_steps_inside() -> None:
    """Until the end; the waits of the function are over with its beginning."""
    history = (
        enqueued(at=1), started(at=2), step(3, undo=True), opened(4, sleep(), suspends=False, at=5),
        f.CancelRequested(n=5, at=6), compensating(6, "cancelled", at=7), f.Due(n=7, at=7),
        started(n=8, at=8, activation=7), step(9, "a~undo", at=9), f.Cancelled(n=10, at=11),
    )  # fmt: skip
    found = {span.name: span for span in everything(*history)}
    undo = found["undo"]
    assert (undo.start, undo.end, undo.span_id) == (7, 11, span_id(EXECUTION_ID, "undo", "6"))
    assert found["step a~undo"].parent_id == undo.span_id
    assert (found["wait nap"].end, found["wait nap"].attributes[t.WAIT_OUTCOME]) == (7, "closed")
    assert (found["attempt 1"].start, found["attempt 1"].end) == (2, 7)


def test_a_lost_undoing_goes_on_in_the_same_span() -> None:
    """What runs it anew is an attempt inside it."""
    history = (
        enqueued(), started(), step(3, undo=True), compensating(4), f.Due(n=5, at=0), started(n=6, activation=5),
        lost(n=7, activation=5), f.Due(n=8, at=0), started(n=9, activation=8, attempt=2),
        f.Failed(n=10, at=0, attempt=2, error=BOOM),
    )  # fmt: skip
    found = {span.name: span for span in everything(*history)}
    assert found["attempt 2"].parent_id == found["undo"].span_id


def everything(*facts: f.AnyFact) -> list[SpanData]:
    return spans_of([Recorded(EXECUTION_ID, "work", number, fact) for number, fact in enumerate(facts, start=1)])


def test_a_delay_is_a_span_until_it_is_due() -> None:
    """Then the queue time begins."""
    found = spans(enqueued(at=10, run_at=50), f.Due(n=2, at=51), started(n=3, at=60, activation=2))
    assert (found["delay"].start, found["delay"].end) == (10, 51)
    assert (found["queued"].start, found["queued"].end) == (51, 60)


def test_what_has_no_end_yet_shows_by_its_beginning() -> None:
    """A long attempt, a delayed execution, and one that waits: moments in the tree, known at once."""
    found = spans(enqueued(at=10, run_at=50), f.Due(n=2, at=51), started(n=3, at=60, activation=2), opened(4, sleep()))
    assert (found["started"].start, found["started"].end) == (60, 60)
    assert found["started"].parent_id == span_id(EXECUTION_ID)
    assert found["started"].span_id == span_id(EXECUTION_ID, "attempt", "1", "started")
    assert found["enqueue"].attributes[t.EXECUTION_RUN_AT] == "1970-01-01T00:00:00.000050Z"
    assert found["suspended"].attributes[t.EXECUTION_WAKES_AT] == "1970-01-01T00:00:00.000100Z"
    assert found["suspended"].parent_id == span_id(EXECUTION_ID, "attempt", "1")


def test_an_attempt_begins_once_however_often_it_goes_on() -> None:
    """What wakes up, or only undoes its steps, is no new attempt."""
    assert [span.start for span in everything(*DURABLE) if span.name == "started"] == [20]


def test_an_end_without_success_is_told() -> None:
    """By the notifier, as the last part of the tree."""
    notify = spans(enqueued(), started(), f.Failed(n=3, at=5, attempt=1, error=BOOM))["notify"]
    assert (notify.part, notify.kind, notify.start, notify.parent_id) == (
        "notifier", "producer", 5, span_id(EXECUTION_ID)
    )  # fmt: skip
    assert "notify" not in spans(enqueued(), started(), f.Succeeded(n=3, at=5, attempt=1))


def test_the_state_of_the_trace_goes_along() -> None:
    """It is the caller's, and so on every span."""
    found = spans(enqueued(tracestate="x=y"), f.Cancelled(n=2, at=9))
    assert {span.state for span in found.values()} == {"x=y"}


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


def test_a_member_is_linked_to_its_batch_and_any_follower_names_its_leader() -> None:
    """The trace of a batch has the id of its execution, so that the link can be made without asking anybody."""
    batch = "3" * 32
    for reason, links in (("batch", [f.Link(trace_id=batch, span_id=span_id(batch))]), ("singleton", [])):
        joined = f.Joined(n=2, at=5, leader=batch, reason=reason)
        root = spans(enqueued(gated=True), joined, f.Succeeded(n=3, at=9, attempt=0))["work"]
        assert (root.links, root.attributes[t.EXECUTION_LEADER]) == (links, batch)


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


@settings(max_examples=examples(40), deadline=None)
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
    attempts = {recorded.fact.attempt for recorded in history if isinstance(recorded.fact, f.Started)}
    if ended:
        assert {span.attributes[t.ATTEMPT_NUMBER] for span in whole if span.name.startswith(t.ATTEMPT)} == attempts
        assert {span.parent_id for span in whole} - {None} <= {span.span_id for span in whole}


def _history(data: st.DataObject, creation: f.Enqueued) -> Sequence[Recorded]:
    facts: list[f.AnyFact] = [creation]
    state = evolve(None, EXECUTION_ID, creation)
    for now in range(0, 200, 10):
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


def test_a_step_without_retries_that_ends_the_attempt_has_a_span() -> None:
    """With its error, below the attempt, under the id that what ran inside it knew."""
    error = f.ErrorInfo(code="user_error", type="ValueError", message="boom", step="extract", step_at=25)
    found = spans(enqueued(at=10), started(at=20), f.Failed(n=3, at=40, attempt=1, error=error))
    failed = found["step extract"]
    assert (failed.start, failed.end, failed.error) == (25, 40, error)
    assert failed.span_id == span_id(EXECUTION_ID, "attempt", "1", "step", "extract")
    assert failed.parent_id == found["attempt 1"].span_id
