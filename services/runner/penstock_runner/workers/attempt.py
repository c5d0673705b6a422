"""One attempt inside a worker process, the part that async and plain functions share: arguments, context, results."""

import os
import tempfile
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.client.errors import ExecutionFailed, PenstockError
from penstock.domain.errors import Rejected
from penstock.domain.limits import batch_bytes_max, result_bytes_max
from penstock.functions.batches import BatchParameters, Member, results
from penstock.functions.context import AttemptPort, Context
from penstock.functions.define import App
from penstock.functions.errors import ResultNotSerialisable
from penstock.functions.event import Event, decode_event
from penstock.functions.failures import failure_of
from penstock.functions.history import History
from penstock.functions.values import to_json
from penstock_runner.workers.messages import RESULT_INLINE_BYTES, Answer, Given, Raised, Returned, Run

Call = tuple[Callable[..., Any], list[Any], dict[str, Any]]


def history_of(run: Run) -> History:
    """What earlier attempts left behind."""
    return History(run.execution_id, run.outcomes, run.started_at)


def prepare(app: App, run: Run, port: AttemptPort, history: History) -> Call:
    """The function and its arguments, checked. Raises Rejected `invalid_arguments`."""
    declared = app.functions[run.function]
    if isinstance(declared.parameters, BatchParameters):
        args, kwargs = _batch(declared.parameters, run, port, history)
        return declared.function, args, kwargs
    if run.members:
        raise Rejected("invalid_arguments", f"{run.function} takes no batches any more, and this is one.")
    rest, values = declared.parameters.bind(run.args, run.kwargs)
    parameters = declared.parameters
    if parameters.context is None and parameters.event is None and not rest:
        args, kwargs = parameters.arrange(rest, values)
        return declared.function, args, kwargs
    args, kwargs = parameters.fill(rest, values, _context(run, port, history), _event(run.event))
    return declared.function, args, kwargs


def _batch(
    parameters: BatchParameters, run: Run, port: AttemptPort, history: History
) -> tuple[list[Any], dict[str, Any]]:
    # One that was made before its function ran in batches is a batch of its own.
    given = run.members or [Given(run.args, run.kwargs, run.event)]
    members = [Member(each.args, each.kwargs, _event(each.event)) for each in given]
    return parameters.call(parameters.items(members), _context(run, port, history))


def _context(run: Run, port: AttemptPort, history: History) -> Context:
    return Context(
        port,
        execution_id=run.execution_id,
        attempt=run.attempt,
        function=run.function,
        metadata=run.metadata,
        parent_id=run.parent_id,
        root_id=run.root_id,
        trace_id=run.trace_id,
        history=history,
    )


def _event(data: bytes | None) -> Event | None:
    return decode_event(data) if data is not None else None


def returned(app: App, run: Run, value: Any, scratch: str) -> Returned:
    """The message about a success. Raises ResultNotSerialisable or BatchMismatch."""
    limit = result_bytes_max
    if isinstance(app.functions[run.function].parameters, BatchParameters):
        value, limit = results(value, max(1, len(run.members))), batch_bytes_max
        if not run.members:
            value = value[0]
    if value is None:
        return Returned(run.number)
    data = to_json(value)
    if len(data) <= RESULT_INLINE_BYTES:
        return Returned(run.number, data)
    if len(data) > limit:
        raise ResultNotSerialisable(f"It has {len(data)} bytes; at most {limit} can be stored.")
    handle, path = tempfile.mkstemp(prefix="result-", dir=scratch)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return Returned(run.number, path=path)


def raised(number: int, error: BaseException, *, limited: bool) -> Raised:
    """The message about a failed attempt; `limited` says that this process has a memory limit."""
    failure = failure_of(error, limited=limited)
    return Raised(number, *failure)


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
