"""Spans to the OTLP protobuf, byte by byte.

The message classes of the SDK cost seven times as much for one span, and its own encoder, which wants its own span
objects, nearly twenty times. Names, attributes and all else that comes again is encoded once. The tests decode what
comes out and compare it with what the SDK says. Numbers of fields are those of `trace.proto` of OpenTelemetry.
"""

import struct
from functools import lru_cache

from penstock.domain.execution.facts import ErrorInfo, Link
from penstock.telemetry import names as t
from penstock.telemetry import protobuf as p
from penstock.telemetry.span import Kind, Part, SpanData, Value

_KINDS: dict[Kind, int] = {"internal": 1, "producer": 4, "consumer": 5, "client": 3}
_STATUS_ERROR = 2
_SAMPLED = 0x01
_HAS_IS_REMOTE = 0x100
_IS_REMOTE = 0x200
_LOCAL_FLAGS = p.fixed32(16, _HAS_IS_REMOTE | _SAMPLED)
_REMOTE = _HAS_IS_REMOTE | _IS_REMOTE | _SAMPLED
_REMOTE_FLAGS = p.fixed32(16, _REMOTE)
_TRACE_ID, _SPAN_ID, _PARENT_ID = (
    p.delimited(field, bytes(size))[:2].hex() for field, size in ((1, 16), (2, 8), (4, 8))
)
"""Tag and length in front of an id, in hex as the ids are: three of them are read in one go."""
_times = struct.Struct("<BQBQ")
_START, _END = p.fixed64(7, 0)[0], p.fixed64(8, 0)[0]
_KNOWN_MAX = 4096
"""Values of one attribute that are remembered; ids of executions come a few times and never again."""
_KNOWN_CHARS_MAX = 256
"""Longer ones seldom come again, and would fill the memory."""


EncodedSpan = tuple[Part, bytes]
"""One span as it stands in a request, behind whose it is. A tenth of what it takes in memory as an object."""


def encoded(span: SpanData) -> EncodedSpan:
    """The span as bytes: best made while it is at hand, since it is sent much later."""
    return span.part, p.delimited(2, _span(span))


def _span(span: SpanData) -> bytes:
    parent = span.parent_id
    if parent is not None:
        ids, flags = f"{_TRACE_ID}{span.trace_id}{_SPAN_ID}{span.span_id}{_PARENT_ID}{parent}", _REMOTE_FLAGS
    else:
        ids, flags = f"{_TRACE_ID}{span.trace_id}{_SPAN_ID}{span.span_id}", _LOCAL_FLAGS
    parts = [
        bytes.fromhex(ids),
        _name(span.name, span.kind),
        _times.pack(_START, span.start * 1000, _END, span.end * 1000),
        *[_known[key][value] for key, value in span.attributes.items()],
        flags,
    ]
    if span.state:
        parts.append(p.text(3, span.state))
    parts += [_link(link) for link in span.links]
    if span.error is not None:
        parts += _error(span, span.error)
    return b"".join(parts)


def nanoseconds(microseconds: int) -> bytes:
    """A time since the epoch, without the tag of its field."""
    return (microseconds * 1000).to_bytes(8, "little")


@lru_cache(maxsize=4096)
def _name(name: str, kind: Kind) -> bytes:
    return p.text(5, name) + p.number(6, _KINDS[kind])


class _Values(dict[Value, bytes]):
    """The values of one attribute -> the attribute encoded."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._head = p.text(1, key)

    def __missing__(self, value: Value) -> bytes:
        if type(value) is not str:
            encoded = p.delimited(9, pair(self._key, value))
        elif len(value) > _KNOWN_CHARS_MAX:
            return p.delimited(9, pair(self._key, value))
        else:
            held = p.text(1, value)
            encoded = p.delimited(9, self._head + p.delimited(2, held))
        if len(self) >= _KNOWN_MAX:
            self.clear()
        self[value] = encoded
        return encoded


class _Keys(dict[str, _Values]):
    """Attributes by name, of which there are as many as the registry has."""

    def __missing__(self, key: str) -> _Values:
        found = self[key] = _Values(key)
        return found


_known = _Keys()


def pair(key: str, value: Value) -> bytes:
    """An attribute, of a span or of a resource."""
    held = p.text(1, value) if isinstance(value, str) else p.number(3, value)
    return p.text(1, key) + p.delimited(2, held)


def _link(link: Link) -> bytes:
    ids = bytes.fromhex(f"{_TRACE_ID}{link.trace_id}{_SPAN_ID}{link.span_id}")
    return p.delimited(13, ids + p.fixed32(6, _REMOTE))


def _error(span: SpanData, error: ErrorInfo) -> list[bytes]:
    """The status, and the event of the exception where user code raised it."""
    parts = [p.delimited(15, p.text(2, error.message or error.code) + p.number(3, _STATUS_ERROR))]
    if span.part == "runner":
        told = {t.EXCEPTION_TYPE: error.type or error.code, t.EXCEPTION_MESSAGE: error.message}
        if error.stack:
            told[t.EXCEPTION_STACKTRACE] = error.stack
        pairs = [p.delimited(3, pair(key, value)) for key, value in told.items()]
        head = p.fixed64(1, span.end * 1000) + p.text(2, t.EXCEPTION)
        parts.append(p.delimited(11, head + b"".join(pairs)))
    return parts
