"""One attempt inside a worker process, the part that async and plain functions share: arguments, context, results."""

import os
import sys
import tempfile
import time
import typing
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from penstock.client.errors import ExecutionFailed, PenstockError
from penstock.domain.errors import Rejected
from penstock.domain.ids import span_id
from penstock.domain.limits import result_bytes_max
from penstock.functions.context import AttemptPort, Context
from penstock.functions.define import App, Function
from penstock.functions.errors import ResultNotSerialisable
from penstock.functions.event import decode_event
from penstock.functions.values import to_json
from penstock_runner.workers.messages import RESULT_INLINE_BYTES, Answer, Returned, Run

Call = tuple[Callable[..., Any], list[Any], dict[str, Any]]


def prepare(app: App, run: Run, port: AttemptPort) -> Call:
    """The function and its arguments, checked. Raises Rejected `invalid_arguments`."""
    declared = app.functions[run.function]
    rest, values = declared.parameters.bind(run.args, run.kwargs)
    parameters = declared.parameters
    if parameters.context is None and parameters.event is None and not rest:
        args, kwargs = parameters.arrange(rest, values)
        return declared.function, args, kwargs
    context = Context(
        port,
        execution_id=run.execution_id,
        attempt=run.attempt,
        function=run.function,
        metadata=run.metadata,
        parent_id=run.parent_id,
        root_id=run.root_id,
        trace_id=run.trace_id,
    )
    event = decode_event(run.event) if run.event is not None else None
    args, kwargs = parameters.fill(rest, values, context, event)
    return declared.function, args, kwargs


def returned(run: Run, value: Any, scratch: str) -> Returned:
    """The message about a success. Raises ResultNotSerialisable."""
    if value is None:
        return Returned(run.number)
    data = to_json(value)
    if len(data) <= RESULT_INLINE_BYTES:
        return Returned(run.number, data)
    if len(data) > result_bytes_max:
        raise ResultNotSerialisable(f"It has {len(data)} bytes; at most {result_bytes_max} can be stored.")
    handle, path = tempfile.mkstemp(prefix="result-", dir=scratch)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return Returned(run.number, path=path)


def enter_span(run: Run) -> None:
    """Make the attempt's span current for OpenTelemetry, if user code loaded it; its own spans then nest below."""
    if "opentelemetry" not in sys.modules:
        return
    from opentelemetry import context, trace

    span = trace.SpanContext(
        trace_id=int(run.trace_id, 16),
        span_id=int(span_id(run.execution_id, "attempt", str(run.attempt)), 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span)))


_hints: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The callable itself, for a function of the app."""
    return function.function if isinstance(function, Function) else function


def step_value(function: Callable[..., Any], data: bytes) -> Any:
    """A step's result as its function's return hint says, the same on the first attempt and on later ones."""
    value = msgspec.json.decode(data)
    if value is None or type(value) in (str, bool):
        hint = _return_hint(function)
        if hint is Any or hint is type(value):
            return value
    else:
        hint = _return_hint(function)
    if hint is Any:
        return value
    try:
        return msgspec.convert(value, hint, dec_hook=_model)
    except (msgspec.ValidationError, NotImplementedError, TypeError):
        # The hint promises something else than what the function returned; JSON types it is then, every time.
        return value


def _return_hint(function: Callable[..., Any]) -> Any:
    with suppress(TypeError):
        known = _hints.get(function)
        if known is not None:
            return known
    try:
        hint = typing.get_type_hints(function).get("return", Any)
    except (TypeError, NameError, AttributeError):
        hint = Any
    hint = Any if hint is type(None) else hint
    with suppress(TypeError):
        _hints[function] = hint
    return hint


def _model(kind: type, value: Any) -> Any:
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    raise NotImplementedError


def opened(answer: Answer) -> Any:
    """The value of an answer. Raises what the runner says instead."""
    if not answer.code:
        return msgspec.json.decode(answer.body)
    members = msgspec.json.decode(answer.body) if answer.body != b"null" else None
    if answer.code == "timeout":
        raise TimeoutError(answer.detail)
    if isinstance(members, dict) and "execution_id" in members:
        raise ExecutionFailed(**members)
    if answer.code in ("invalid_name", "invalid_option", "invalid_arguments", "invalid_duration"):
        raise Rejected(answer.code, answer.detail)
    raise PenstockError(answer.code, answer.detail)


def now() -> int:
    return time.time_ns() // 1000
