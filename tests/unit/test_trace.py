"""The trace of each execution."""

import pytest
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.execution.create import EMPTY_ARGS, EMPTY_KWARGS, Origin, enqueued
from penstock.domain.execution.facts import Link
from penstock.domain.function.options import CallOptions, resolve
from penstock.domain.limits import baggage_bytes_max, baggage_members_max, tracestate_chars_max
from penstock.domain.trace import (
    Carried,
    SpanContext,
    carried,
    format_traceparent,
    parse_baggage,
    parse_traceparent,
    parse_tracestate,
    trace_of,
)
from penstock.wire.traces import trace_headers, trace_variables

TRACE, SPAN, ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "0190a5d4c3b27e6f8a9b0c1d2e3f4a5b"
CALLER = SpanContext(TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-03",
        f"00-{TRACE}-{SPAN}-00",
        f" 00-{TRACE}-{SPAN}-01 ",
        f"cc-{TRACE}-{SPAN}-01-later",
    ],
)
def test_a_traceparent_is_read(header: str) -> None:
    """Whatever its flags; a later version may have more parts."""
    assert parse_traceparent(header) == CALLER


@pytest.mark.parametrize(
    "header",
    [None, "", "x", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{SPAN}",  # noqa: E501
     f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more", f"00-{TRACE[:-1]}-{SPAN}-01", f"00-{TRACE}-{SPAN}-0x"],  # noqa: E501
)  # fmt: skip
def test_an_invalid_traceparent_is_ignored(header: str | None) -> None:
    """As the W3C recommendation says: the receiver starts a trace of its own."""
    assert parse_traceparent(header) is None


def test_a_traceparent_is_written_as_it_is_read() -> None:
    """With the sampled flag."""
    assert format_traceparent(CALLER) == f"00-{TRACE}-{SPAN}-01"
    assert parse_traceparent(format_traceparent(CALLER)) == CALLER


def test_what_runs_at_once_continues_the_trace_of_its_caller() -> None:
    """As a child."""
    assert trace_of(ID, CALLER, immediate=True) == (TRACE, SPAN, [])


def test_what_is_delayed_has_a_trace_of_its_own_with_a_link() -> None:
    """The trace id is the execution id."""
    assert trace_of(ID, CALLER, immediate=False) == (ID, None, [Link(trace_id=TRACE, span_id=SPAN)])


@pytest.mark.parametrize("immediate", [True, False])
def test_without_a_caller_the_trace_id_is_the_execution_id(immediate: bool) -> None:
    """So anyone can find it."""
    assert trace_of(ID, None, immediate=immediate) == (ID, None, [])


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (None, ""),
        ("user=u1", "user=u1"),
        (" user = u1 , plan=pro;kind=paid;x ", "user = u1,plan=pro;kind=paid;x"),
        ("user=u1,broken,=no,b c=d,ok=%20", "user=u1,ok=%20"),
        ('a="quoted"', ""),
        ("a=ü,b=2", "b=2"),
        ("a=1\r\nx: y,b=2", "b=2"),
    ],
)
def test_of_baggage_the_members_that_are_well_formed_are_kept(header: str | None, kept: str) -> None:
    """In order, and never a reason to refuse what it came with."""
    assert parse_baggage(header) == kept


def test_baggage_is_kept_up_to_its_limits() -> None:
    """Whole members only; one that is too long does not keep out a shorter one behind it."""
    members = [f"k{number}=v" for number in range(baggage_members_max + 1)]
    assert parse_baggage(",".join(members)) == ",".join(members[:-1])
    fits = "a=" + "x" * (baggage_bytes_max - 2)
    assert parse_baggage(fits) == fits
    assert parse_baggage(fits + "x") == ""
    assert parse_baggage(f"a={'x' * (baggage_bytes_max - 6)},b=1,c=2") == f"a={'x' * (baggage_bytes_max - 6)},b=1"


def test_tracestate_is_kept_as_it_came_up_to_its_limit() -> None:
    """It is for others to read."""
    text = "x" * tracestate_chars_max
    assert (parse_tracestate(text), parse_tracestate(text + "x"), parse_tracestate("a=ü")) == (text, "", "")
    assert parse_tracestate(" congo=1,rojo=2 ") == "congo=1,rojo=2"


def test_the_state_of_a_trace_means_nothing_without_a_span() -> None:
    """Baggage does: it is about the caller, not about its trace."""
    assert carried(None, "x=y", "user=u1") == Carried(None, "", "user=u1")
    assert carried(f"00-{TRACE}-{SPAN}-01", "x=y", None) == Carried(CALLER, "x=y", "")


def test_what_is_delayed_keeps_the_baggage_and_leaves_the_state_of_the_trace() -> None:
    """For its trace is another one."""
    given = Origin(carried=Carried(CALLER, "x=y", "user=u1"), links=[Link(trace_id=ID, span_id=SPAN)])
    for delay, state in ((None, "x=y"), ("1h", "")):
        first = enqueued(ID, "work", EMPTY_ARGS, EMPTY_KWARGS, resolve(CallOptions(delay=delay), 0), 0, given)
        assert (first.tracestate, first.baggage) == (state, "user=u1")
        assert first.links[-1] == Link(trace_id=ID, span_id=SPAN)


def test_trace_context_goes_out_as_it_came_in() -> None:
    """As headers, and as variables of an environment; what there is none of is not there."""
    given = Carried(CALLER, "x=y", "user=u1")
    headers = trace_headers(given)
    assert carried(headers["traceparent"], headers["tracestate"], headers["baggage"]) == given
    assert trace_variables(given).keys() == {"TRACEPARENT", "TRACESTATE", "BAGGAGE"}
    assert trace_headers(Carried()) == {}


def test_a_call_with_nothing_of_its_own_has_the_first_fact_of_any_other_without_it() -> None:
    """It is made in a shorter way."""
    arguments = (ID, "work", Raw(b"[1]"), Raw(b'{"a":2}'))
    now = 1_700_000_000_000_000
    plain = enqueued(*arguments, resolve(CallOptions(), now), now, Origin())
    asked = enqueued(*arguments, resolve(CallOptions(retries=3, metadata={"a": "b"}), now), now, Origin(parent_id="p"))
    assert plain == replace(asked, retries=None, metadata={}, parent_id=None)
