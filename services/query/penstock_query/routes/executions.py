"""Executions: the list, one of them, and its result."""

from typing import Annotated, Any

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from penstock.domain.errors import CATALOGUE, Rejected
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.execution.state import Execution
from penstock.handle import fold_recorded
from penstock_query.history import result_of
from penstock_query.queries import execution_filter, preferred_wait
from penstock_query.routes.answers import (
    After,
    AnyRequest,
    CursorText,
    Limit,
    asked,
    begun,
    json_value,
    page,
    parameter,
    positioned,
    settled,
)
from penstock_query.shapes import ExecutionShape, Page, execution_shape
from penstock_query.view import View

RETRY_AFTER_SECONDS = "1"

State = Annotated[str | None, parameter("state", "States, separated by commas.")]
Function = Annotated[str | None, parameter("function", "Function names, separated by commas.")]
EventId = Annotated[str | None, parameter("event_id", "Only those that this event started.")]
ParentId = Annotated[str | None, parameter("parent_id", "Only the children of this execution.")]
CreatedAfter = Annotated[str | None, parameter("created_after", "RFC 3339; this instant or later.")]
CreatedBefore = Annotated[str | None, parameter("created_before", "RFC 3339; earlier than this instant.")]


def execution_routes(view: View) -> list[ControllerRouterHandler]:
    """/v1/executions, /v1/executions/{id} and its result."""

    @get("/v1/executions", operation_id="listExecutions", summary="List executions, newest first")
    async def list_executions(
        request: AnyRequest,
        in_state: State = None,
        function: Function = None,
        event_id: EventId = None,
        parent_id: ParentId = None,
        created_after: CreatedAfter = None,
        created_before: CreatedBefore = None,
        limit: Limit = None,
        cursor: CursorText = None,
        after: After = None,
    ) -> Response[Page[ExecutionShape]]:
        """Besides the listed parameters, `metadata.<key>=a,b` filters by metadata: AND across keys, OR inside one."""
        query = asked(request)
        wanted = execution_filter(query)
        found = await view.reads.executions(wanted, *await begun(view, query, wanted.fingerprint))
        return page(found, [execution_shape(each, view.trace_url) for each in found.items], wanted.fingerprint)

    @get("/v1/executions/{execution_id:str}", operation_id="getExecution", summary="Read one execution")
    async def get_execution(
        execution_id: FromPath[str], request: AnyRequest, after: After = None
    ) -> Response[ExecutionShape]:
        """With `Prefer: wait=<seconds>` it answers when the execution has ended, or when the time is over."""
        await settled(view, asked(request))
        headers = await _waited(view, request, execution_id)
        state, position = await view.execution(execution_id)
        return positioned(execution_shape(state, view.trace_url), position, headers=headers)

    @get(
        "/v1/executions/{execution_id:str}/result",
        operation_id="getResult",
        summary="Read the result",
        responses={202: ResponseSpec(ExecutionShape, generate_examples=False, description="Not final yet")},
    )
    async def get_result(execution_id: FromPath[str], request: AnyRequest, after: After = None) -> Response[Any]:
        """The bare JSON value; 202 while there is none yet, 409 with the error if it ended without one."""
        await settled(view, asked(request))
        headers = await _waited(view, request, execution_id)
        recorded = await view.recorded(execution_id)
        state = fold_recorded(recorded)
        assert state is not None
        if not state.is_final:
            content = execution_shape(state, view.trace_url)
            return positioned(content, state.sequence, 202, {**headers, "Retry-After": RETRY_AFTER_SECONDS})
        value = result_of(recorded)
        if value is None:
            raise _no_result(state)
        return await json_value(view, value, state.sequence, headers)

    return [list_executions, get_execution, get_result]


async def _waited(view: View, request: AnyRequest, execution_id: str) -> dict[str, str]:
    """Honour `Prefer: wait`; the header that says so."""
    seconds = preferred_wait(request.headers)
    if seconds is None:
        return {}
    await view.final(execution_id, seconds)
    return {"Preference-Applied": f"wait={seconds}"}


def _no_result(state: Execution) -> Rejected:
    error = state.error or ErrorInfo(code="user_error", message="It ended without a result.")
    code = error.code if error.code in CATALOGUE else "user_error"
    shape = {"code": error.code, "type": error.type, "message": error.message, "stack": error.stack}
    detail = f"The execution is {state.state} and has no result."
    return Rejected(code, detail, error=shape, state=str(state.state), sequence=f"x:{state.sequence}")
