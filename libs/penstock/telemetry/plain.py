"""The spans of plain executions, from prepared bytes. Pure.

What is runnable when made, starts and succeeds has five spans: those of any other such execution of its function, but
for ids and times. `Trail` makes the spans of an example and `encoded` makes its bytes; a form is these bytes with gaps.
So what spans say stands in `spans.py` alone, and what is not plain is left to it.
"""

import re
from functools import lru_cache

from penstock.domain.execution.facts import AnyFact, Enqueued, Started, Succeeded, Unknown
from penstock.domain.ids import span_bytes
from penstock.telemetry.encode import EncodedSpan, encoded, nanoseconds
from penstock.telemetry.span import Part, SpanData
from penstock.telemetry.spans import Trail

FORMS_MAX = 1024
"""Functions and runners whose forms are remembered."""
_ID, _TRACE, _CALLER = "5e1f0d9c7ab3426885d4c6b7a9f01e23", "c2a94be17d6f4830951be8f3d07a6c4d", "e9d3a75b1c8f6042"
"""Ids of the example: the execution, its trace and its caller's span. Nothing else in a span looks like them."""
_ENQUEUED_AT, _STARTED_AT, _ENDED_AT = 1_111_111_111_111_111, 1_222_222_222_222_222, 1_333_333_333_333_333


_Form = tuple[Part, bytes]
"""The bytes of a span with `%b` in each gap: trace, own id, parent if there is one, start, end, and its execution in
the attributes, once or twice."""


class EncodedTrail:
    """A `Trail` whose spans come as bytes."""

    __slots__ = ("_ended", "_enqueued", "_id", "_root", "_started", "_trace", "_whole", "execution_id")

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        self._root = self._trace = self._id = b""
        self._enqueued: Enqueued | None = None
        self._started: Started | None = None
        self._ended: Succeeded | None = None
        self._whole: Trail | None = None
        """In charge from the first fact on that is not plain."""

    def add(self, fact: AnyFact | Unknown) -> list[EncodedSpan]:
        """The spans that this fact completes. A history without its first fact gives none."""
        if self._whole is None:
            spans = self._add_plain(fact)
            if spans is not None:
                return spans
            self._whole = Trail(self.execution_id)
            for earlier in (self._enqueued, self._started, self._ended):
                if earlier is not None:
                    self._whole.add(earlier)
        return [encoded(span) for span in self._whole.add(fact)]

    def _add_plain(self, fact: AnyFact | Unknown) -> list[EncodedSpan] | None:
        """None for what is not plain."""
        first, started = self._enqueued, self._started
        if type(fact) is Enqueued:
            return self._begin(fact) if first is None and _is_plain(fact) else None
        if first is None or self._ended is not None:
            return None
        if type(fact) is Started:
            return self._start(first, fact) if started is None and fact.n == 2 and fact.attempt == 1 else None
        if type(fact) is Succeeded:
            return self._end(first, started, fact) if started is not None and fact.n == 3 else None
        return None

    def _begin(self, fact: Enqueued) -> list[EncodedSpan]:
        self._enqueued, execution_id = fact, self.execution_id
        self._id = shown = execution_id.encode()
        self._root = root = span_bytes(execution_id)
        self._trace = trace = bytes.fromhex(fact.trace_id)
        own, at = span_bytes(f"{execution_id}/enqueue"), nanoseconds(fact.at)
        part, text = _at_first(fact.function)
        return [(part, text % (trace, own, root, at, at, shown))]

    def _start(self, first: Enqueued, fact: Started) -> list[EncodedSpan]:
        self._started = fact
        trace, root, shown, at = self._trace, self._root, self._id, nanoseconds(fact.at)
        queued = span_bytes(f"{self.execution_id}/queued/1")
        moment = span_bytes(f"{self.execution_id}/attempt/1/started")
        since = nanoseconds(first.at)
        until = at if fact.at > first.at else since
        (part, text), (own_part, own_text) = _at_start(first.function, fact.runner)
        return [
            (part, text % (trace, queued, root, since, until, shown)),
            (own_part, own_text % (trace, moment, root, at, at, shown)),
        ]

    def _end(self, first: Enqueued, started: Started, fact: Succeeded) -> list[EncodedSpan]:
        self._ended = fact
        trace, root, shown, at = self._trace, self._root, self._id, nanoseconds(fact.at)
        attempt = span_bytes(f"{self.execution_id}/attempt/1")
        begun, since = nanoseconds(started.at), nanoseconds(first.at)
        over = at if fact.at > started.at else begun
        until = at if fact.at > first.at else since
        caller = first.parent_span
        ids = (trace, root) if caller is None else (trace, root, bytes.fromhex(caller))
        (part, text), (own_part, own_text) = _at_end(
            first.function, caller is not None, started.runner, started.version
        )
        return [
            (part, text % (trace, attempt, root, begun, over, shown, shown)),
            (own_part, own_text % (*ids, since, until, shown, shown)),
        ]


def _is_plain(first: Enqueued) -> bool:
    """Nothing that a span shows is its own."""
    return (
        first.n == 1
        and first.run_at is None
        and first.event is None
        and first.event_id is None
        and first.parent_id is None
        and first.rerun_of is None
        and first.restarted_from is None
        and not first.tracestate
        and not first.links
    )


def _example(function: str, called: bool, runner: str, version: str) -> list[list[_Form]]:
    trail = Trail(_ID)
    caller = _CALLER if called else None
    facts: tuple[AnyFact, ...] = (
        Enqueued(n=1, at=_ENQUEUED_AT, function=function, trace_id=_TRACE, parent_span=caller),
        Started(n=2, at=_STARTED_AT, activation=1, attempt=1, runner=runner, version=version),
        Succeeded(n=3, at=_ENDED_AT, attempt=1),
    )
    return [[_form(span) for span in trail.add(fact)] for fact in facts]


@lru_cache(FORMS_MAX)
def _at_first(function: str) -> _Form:
    return _example(function, False, "", "")[0][0]


@lru_cache(FORMS_MAX)
def _at_start(function: str, runner: str) -> list[_Form]:
    return _example(function, False, runner, "")[1]


@lru_cache(FORMS_MAX)
def _at_end(function: str, called: bool, runner: str, version: str) -> list[_Form]:
    return _example(function, called, runner, version)[2]


def _form(span: SpanData) -> _Form:
    """What stays of the span of the example when ids and times are taken out."""
    part, data = encoded(span)
    gaps = [bytes.fromhex(each) for each in (span.trace_id, span.span_id, span.parent_id) if each is not None]
    gaps += [nanoseconds(span.start), nanoseconds(span.end), _ID.encode()]
    around = re.split(b"(" + b"|".join(re.escape(gap) for gap in gaps) + b")", data, flags=re.DOTALL)
    # They are filled in this order.
    assert list(dict.fromkeys(around[1::2])) == list(dict.fromkeys(gaps)), span
    return part, b"%b".join(each.replace(b"%", b"%%") for each in around[::2])
