"""Spans from prepared bytes: byte by byte those that are made one by one."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.telemetry.encode import encoded
from penstock.telemetry.plain import EncodedTrail
from penstock.telemetry.spans import Trail
from unit.durable_histories import opened, sleep, step, woken
from unit.histories import BOOM, enqueued, retry_scheduled, started

AT = st.integers(0, 2_000_000_000_000_000)
SPAN = "b7ad6b7169203331"
LINK = f.Link(trace_id="1" * 32, span_id="2" * 16)
ids = st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}")
functions = st.sampled_from(["work", "a-b_c", "x" * 64])
plain_first = st.builds(
    enqueued, at=AT, function=functions, trace_id=ids, parent_span=st.none() | st.sampled_from([SPAN, "0" * 15 + "1"])
)
plain_start = st.builds(
    f.Started, n=st.just(2), at=AT, activation=st.just(1), attempt=st.just(1),
    runner=st.sampled_from(["r1", "100%b", "ä" * 100]), version=st.sampled_from(["", "v%d"]),
)  # fmt: skip
plain_end = st.builds(f.Succeeded, n=st.just(3), at=AT, attempt=st.just(1))
plain = st.tuples(plain_first, plain_start, plain_end)

OWN = (
    {"run_at": 50}, {"event_id": "e"}, {"event": Raw(b"{}")}, {"parent_id": "3" * 32}, {"rerun_of": "4" * 32},
    {"restarted_from": "a"}, {"tracestate": "x=y"}, {"links": [LINK]}, {"gated": True}, {"n": 2},
)  # fmt: skip
"""What makes a first fact one that is not plain, or is one of which spans know nothing."""
others = st.sampled_from([
    f.Due(n=2, at=5), f.Admitted(n=2, at=6), f.CancelRequested(n=3, at=7), f.Cancelled(n=3, at=8),
    f.Failed(n=3, at=9, attempt=1, error=BOOM), f.Succeeded(n=2, at=9, attempt=0), f.Succeeded(n=4, at=9, attempt=1),
    retry_scheduled(3, at=9), step(3, at=4), opened(3, sleep(), at=5), woken(4, "nap", at=6, wakes=True),
    started(2, at=3, attempt=2), started(3, at=4, activation=2), started(5, at=6, activation=4),
    f.Unknown(n=3, at=1, id="", raw=Raw(b"{}"), name="new"), enqueued(at=9),
])  # fmt: skip


def _check(execution_id: str, history: list[f.AnyFact | f.Unknown]) -> None:
    quick, trail = EncodedTrail(execution_id), Trail(execution_id)
    for fact in history:
        assert quick.add(fact) == [encoded(span) for span in trail.add(fact)]


@settings(max_examples=60, deadline=None)
@given(execution_id=ids, history=plain)
def test_plain_spans_are_those_that_are_made_one_by_one(
    execution_id: str, history: tuple[f.Enqueued, f.Started, f.Succeeded]
) -> None:
    """Whatever their ids, names and times, also of clocks that differ."""
    _check(execution_id, list(history))


@settings(max_examples=150, deadline=None)
@given(execution_id=ids, history=plain, more=st.lists(st.tuples(st.integers(0, 3), others | plain_start | plain_end)))
def test_what_is_not_plain_is_left_to_the_trail_at_any_fact(
    execution_id: str,
    history: tuple[f.Enqueued, f.Started, f.Succeeded],
    more: list[tuple[int, f.AnyFact | f.Unknown]],
) -> None:
    """Facts that come again, are missing or follow the end give what they give it."""
    facts: list[f.AnyFact | f.Unknown] = list(history)
    for place, fact in more:
        facts.insert(place, fact)
    _check(execution_id, facts)
    _check(execution_id, facts[1:])


@settings(max_examples=40, deadline=None)
@given(history=plain, own=st.sampled_from(OWN))
def test_a_first_fact_with_something_of_its_own_gives_its_own_spans(
    history: tuple[f.Enqueued, f.Started, f.Succeeded], own: dict[str, object]
) -> None:
    """Each field that a span shows."""
    fields = {"at": history[0].at, "n": 1, "function": "work", "trace_id": history[0].trace_id, **own}
    _check("a" * 32, [f.Enqueued(**fields), *history[1:]])  # type: ignore[arg-type]


def test_the_spans_of_a_plain_execution_are_prepared() -> None:
    """The trail is not asked for them."""
    trail = EncodedTrail("a" * 32)
    history = [enqueued(), started(), f.Succeeded(n=3, at=5, attempt=1)]
    assert [len(trail.add(fact)) for fact in history] == [1, 2, 2]
    assert trail._whole is None
