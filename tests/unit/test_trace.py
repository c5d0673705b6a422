"""The trace of each execution."""

import pytest

from penstock.domain.execution.facts import Link
from penstock.domain.trace import SpanContext, format_traceparent, parse_traceparent, trace_of

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
