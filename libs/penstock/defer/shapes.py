"""The JSON of Defer's API: executions, failures and times."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from penstock.defer.attempts import Attempt
from penstock.defer.ids import attempt_id
from penstock.defer.states import state_of
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.execution.state import Execution

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ExecutionShape(msgspec.Struct, frozen=True, kw_only=True):
    """One execution or attempt, as version 2 shows it. The id of a function is its name."""

    id: str
    state: str
    function_name: str
    function_id: str
    scheduled_at: str
    created_at: str
    updated_at: str


class Data(msgspec.Struct, frozen=True):
    """The envelope of a single object."""

    data: ExecutionShape


class FailureShape(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a failed execution: what `JSON.stringify` would keep of the error."""

    name: str
    message: str
    cause: Any = None
    stack: str


def time_text(microseconds: int) -> str:
    """RFC 3339 in UTC, with milliseconds and Z, as JavaScript writes it."""
    instant = _EPOCH + timedelta(microseconds=microseconds)
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def execution_shape(execution: Execution) -> ExecutionShape:
    return ExecutionShape(
        id=execution.id,
        state=state_of(execution),
        function_name=execution.function,
        function_id=execution.function,
        scheduled_at=time_text(execution.due_at or execution.created_at),
        created_at=time_text(execution.created_at),
        updated_at=time_text(execution.updated_at),
    )


def attempt_shape(execution: Execution, attempt: Attempt) -> ExecutionShape:
    return ExecutionShape(
        id=attempt_id(execution.id, attempt.number),
        state=attempt.state,
        function_name=execution.function,
        function_id=execution.function,
        scheduled_at=time_text(attempt.scheduled_at),
        created_at=time_text(attempt.created_at),
        updated_at=time_text(attempt.updated_at),
    )


def failure_shape(error: ErrorInfo) -> FailureShape:
    return FailureShape(name=error.type or error.code, message=error.message, stack=error.stack)
