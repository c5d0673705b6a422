"""The first fact of an execution that a hook makes: what it is told about the one that ended. Pure."""

from typing import Any

import msgspec
from msgspec import Raw

from penstock.domain.execution.create import EMPTY_ARGS, EMPTY_KWARGS, Origin, enqueued
from penstock.domain.execution.facts import Enqueued, Fact, Succeeded
from penstock.domain.execution.state import Execution
from penstock.domain.function.options import CallOptions, resolve
from penstock.domain.ids import hook_execution_id, span_id
from penstock.domain.limits import hook_result_bytes_max
from penstock.domain.schedule.spec import rfc3339
from penstock.domain.trace import Carried, SpanContext


def hook_execution(state: Execution, end: Fact, environment: str, now: int) -> tuple[str, Enqueued] | None:
    """The execution that the end of another one asks for, with its id; None if there is no hook for this outcome.

    It runs at once, as a child of the ended one in its trace, and has no hooks of its own.
    """
    function = state.hooks.of(state.state)
    if not state.is_final or not function:
        return None
    execution_id = hook_execution_id(environment, state.id, end.n)
    event = {
        "id": execution_id,
        "name": f"penstock.execution.{state.state}",
        "source": f"/v1/executions/{state.id}",
        "subject": state.id,
        "time": rfc3339(end.at),
        "data": {"execution": _told(state), **_result(end, state.id)},
    }
    origin = Origin(
        carried=Carried(SpanContext(state.trace_id, span_id(state.id)), state.tracestate, state.baggage),
        event=Raw(msgspec.json.encode(event)),
        parent_id=state.id,
        root_id=state.root_id or state.id,
    )
    options = resolve(CallOptions(), now)
    return execution_id, enqueued(execution_id, function, EMPTY_ARGS, EMPTY_KWARGS, options, now, origin)


def _told(state: Execution) -> dict[str, Any]:
    return {
        "id": state.id,
        "function": state.function,
        "state": str(state.state),
        "attempt": state.attempt,
        "error": msgspec.to_builtins(state.error) if state.error is not None else None,
        "metadata": state.metadata,
        "created_at": rfc3339(state.created_at),
        "finished_at": rfc3339(state.finished_at or state.updated_at),
        "trace_id": state.trace_id,
        "parent_id": state.parent_id,
        "root_id": state.root_id,
        "event_id": state.event_id,
        "rerun_of": state.rerun_of,
    }


def _result(end: Fact, execution_id: str) -> dict[str, Any]:
    """Where the result is, and the value itself if it is small."""
    if not isinstance(end, Succeeded):
        return {}
    told: dict[str, Any] = {"result_path": f"/v1/executions/{execution_id}/result"}
    if end.result_ref is None and len(bytes(end.result)) <= hook_result_bytes_max:
        told["result"] = end.result
    return told
