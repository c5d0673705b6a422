"""What a runner and its worker processes say to each other: framed batches of MessagePack over a socket pair.

Values of user code travel as JSON bytes inside, so the runner passes them on without ever decoding them.
"""

import struct
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from penstock.domain.function.options import FunctionSpec
from penstock.domain.schedule.spec import ScheduleSpec
from penstock.functions.actions import AnyAction, Outcome

RESULT_INLINE_BYTES = 1024 * 1024
"""Larger results go through a file in the scratch directory, not through the socket in one piece."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag=True):
    """The part that all share: the class name is the tag."""


class Given(msgspec.Struct, frozen=True, array_like=True):
    """What one execution was given, as JSON."""

    args: bytes
    kwargs: bytes
    event: bytes | None = None


# From the runner.
class Setup(Message, frozen=True, tag="setup"):
    """The first message: which app to load, and how this process runs functions."""

    app: str
    mode: str
    """`async`: many executions on one event loop; `sync`: one at a time in the main thread."""
    scratch: str
    memory: int | None = None
    hidden: list[str] | None = None
    """Files and directories that user code may not see; None: build no walls around it."""


class Run(Message, frozen=True, tag="run"):
    """One attempt, or the continuation of one. `outcomes` holds what is known of its operations by key.

    `started_at` is when the execution first started (microseconds). With `compensating` the function is replayed only
    to learn how its steps are undone; the attempt ends with `Compensated`. `members` is what a batch runs with.
    """

    number: int
    execution_id: str
    function: str
    attempt: int
    args: bytes
    kwargs: bytes
    trace_id: str
    event: bytes | None = None
    metadata: dict[str, str] = {}
    parent_id: str | None = None
    root_id: str | None = None
    outcomes: dict[str, Outcome] = {}
    started_at: int = 0
    compensating: bool = False
    members: list[Given] = []
    tracestate: str = ""
    baggage: str = ""
    span_id: str = ""
    """Of the attempt; empty for Python, which makes it when it needs it."""


class Outcomes(Message, frozen=True, tag="outcomes"):
    """Operations of a running attempt that are over now: waits it has opened, calls it has made."""

    number: int
    outcomes: dict[str, Outcome]


class Cancel(Message, frozen=True, tag="cancel"):
    """Cancel the task of this attempt (async processes only; plain functions are stopped by signal).

    With `leaves` the execution goes on later or elsewhere, so that it must do no further steps here.
    """

    number: int
    leaves: bool = False


class Answer(Message, frozen=True, tag="answer"):
    """To an action or a question. `code` is empty when it went well."""

    number: int
    call: int
    body: bytes = b"null"
    code: str = ""
    detail: str = ""


# From the worker process.
class Hello(Message, frozen=True, tag="hello"):
    """The app is loaded (its name, functions and schedules), or could not be (`error`)."""

    app: str = ""
    specs: list[FunctionSpec] = []
    schedules: dict[str, ScheduleSpec] = {}
    error: str = ""
    unprotected: list[str] = []
    """What the system did not allow to keep from user code: `files`, `processes`."""


class Returned(Message, frozen=True, tag="returned"):
    """The attempt succeeded. The result is inline, or in the file at `path`."""

    number: int
    result: bytes = b"null"
    path: str = ""


class Raised(Message, frozen=True, tag="raised"):
    """The attempt failed: code of the catalogue and the exception as text."""

    number: int
    code: str
    type: str
    message: str
    stack: str
    terminal: bool = False
    retry_after: float | None = None
    step: str = ""
    step_at: int = 0
    """The step that it came out of, and when that had begun (µs)."""


class Compensated(Message, frozen=True, tag="compensated"):
    """Everything that could be undone is undone."""

    number: int


class Do(Message, frozen=True, tag="do"):
    """Do this for the attempt; the answer comes when it is durable."""

    number: int
    call: int
    action: AnyAction


class Ask(Message, frozen=True, tag="ask"):
    """A question or an order about another execution; `body` is JSON.

    Operations are result, state, cancel, reschedule, rerun, resume and message.
    """

    number: int
    call: int
    operation: str
    execution_id: str
    body: bytes = b"{}"


class Beat(Message, frozen=True, tag="beat"):
    """The attempt is alive."""

    number: int


class Extend(Message, frozen=True, tag="extend"):
    """The attempt may take so long from now on."""

    number: int
    seconds: float


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One line that user code wrote; `stream` is stdout, stderr or logging."""

    at: int
    stream: str
    level: str
    text: str


class Lines(Message, frozen=True, tag="lines"):
    """Lines of an attempt, in order."""

    number: int
    lines: list[Line]


FromRunner = Setup | Run | Cancel | Answer | Outcomes
FromWorker = Hello | Returned | Raised | Compensated | Do | Ask | Beat | Extend | Lines

_head = struct.Struct("<I")
_encoder = msgspec.msgpack.Encoder()
T = TypeVar("T")


def frame(messages: Sequence[Message]) -> bytes:
    """A batch of messages as it goes over the socket."""
    buffer = bytearray(4)
    _encoder.encode_into(messages, buffer, 4)
    _head.pack_into(buffer, 0, len(buffer) - 4)
    return bytes(buffer)


class Frames(Generic[T]):
    """Bytes as they arrive, cut into messages."""

    def __init__(self, kind: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[list[T]] = msgspec.msgpack.Decoder(list[kind])
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[T]:
        """All messages that are complete now. Raises msgspec.DecodeError when the other side talks nonsense."""
        buffer = self._buffer
        buffer += data
        messages: list[T] = []
        start, end = 0, len(buffer)
        while end - start >= 4:
            (size,) = _head.unpack_from(buffer, start)
            if end - start - 4 < size:
                break
            messages += self._decoder.decode(memoryview(buffer)[start + 4 : start + 4 + size])
            start += 4 + size
        if start:
            del buffer[:start]
        return messages
