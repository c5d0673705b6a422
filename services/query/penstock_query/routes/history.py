"""What happened in one execution: arguments, attempts, steps, lines and facts, read from the log."""

import asyncio
from typing import Any

from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from penstock.domain.errors import Rejected
from penstock.domain.execution.facts import AnyFact, Enqueued, Unknown
from penstock.domain.execution.inherit import Inherited, read_inherited
from penstock_query.history import arguments_of, attempts_of, fact_shape
from penstock_query.operations import StepShape, operations_of
from penstock_query.routes.answers import (
    After,
    AnyRequest,
    CursorText,
    Limit,
    asked,
    json_value,
    settled,
    shaped_page,
    slice_page,
)
from penstock_query.shapes import AttemptShape, FactShape, LineShape, Page, rfc3339
from penstock_query.view import View

PATH = "/v1/executions/{execution_id:str}"


def history_routes(view: View) -> list[ControllerRouterHandler]:
    """The addresses below one execution."""

    @get(f"{PATH}/arguments", operation_id="getArguments", summary="Read the arguments")
    async def get_arguments(execution_id: FromPath[str], request: AnyRequest, after: After = None) -> Response[Any]:
        """`{"args":[],"kwargs":{}}`, with `event` if an event started it. A batch has `members`: the executions whose
        arguments it runs with.
        """
        await settled(view, asked(request))
        recorded = await view.recorded(execution_id)
        value = arguments_of(recorded)
        if value is None:
            raise Rejected("unknown_execution", f"The first fact of {execution_id} is not in the log any more.")
        return await json_value(view, value, recorded[-1].sequence)

    @get(f"{PATH}/attempts", operation_id="listAttempts", summary="List the attempts")
    async def list_attempts(
        execution_id: FromPath[str],
        request: AnyRequest,
        limit: Limit = None,
        cursor: CursorText = None,
        after: After = None,
    ) -> Response[Page[AttemptShape]]:
        """In order, each with its runner and how it ended."""
        query = asked(request)
        paging = query.paging()
        await settled(view, query)
        recorded = await view.recorded(execution_id)
        attempts = await asyncio.to_thread(attempts_of, recorded)
        return slice_page(attempts, paging, f"attempts/{execution_id}", recorded[-1].sequence)

    @get(f"{PATH}/steps", operation_id="listSteps", summary="List steps, waits and calls")
    async def list_steps(
        execution_id: FromPath[str],
        request: AnyRequest,
        limit: Limit = None,
        cursor: CursorText = None,
        after: After = None,
    ) -> Response[Page[StepShape]]:
        """In the order in which they were begun, those taken over by a restart first."""
        query = asked(request)
        paging = query.paging()
        await settled(view, query)
        recorded = await view.recorded(execution_id)
        inherited = await _inherited(view, recorded[0].fact)
        # In a thread: a long history takes seconds, in which others want their answers too.
        steps = await asyncio.to_thread(operations_of, recorded, inherited)
        return slice_page(steps, paging, f"steps/{execution_id}", recorded[-1].sequence)

    @get(f"{PATH}/facts", operation_id="listFacts", summary="List the facts")
    async def list_facts(
        execution_id: FromPath[str],
        request: AnyRequest,
        limit: Limit = None,
        cursor: CursorText = None,
        after: After = None,
    ) -> Response[Page[FactShape]]:
        """The whole history as it is stored, oldest first."""
        query = asked(request)
        paging = query.paging()
        await settled(view, query)
        recorded = await view.recorded(execution_id)
        return shaped_page(recorded, fact_shape, paging, f"facts/{execution_id}", recorded[-1].sequence)

    @get(f"{PATH}/logs", operation_id="listLines", summary="List the lines that user code wrote")
    async def list_lines(
        execution_id: FromPath[str],
        request: AnyRequest,
        limit: Limit = None,
        cursor: CursorText = None,
        after: After = None,
    ) -> Response[Page[LineShape]]:
        """stdout, stderr and logging of all attempts in order, as long as they are kept."""
        query = asked(request)
        paging = query.paging()
        await settled(view, query)
        recorded = await view.recorded(execution_id)
        attempts = attempts_of(recorded)
        stored = await view.lines.read(execution_id, attempts[-1].attempt if attempts else 0)
        lines = [
            LineShape(
                at=rfc3339(each.line.at),
                attempt=each.attempt,
                stream=each.line.stream,
                level=each.line.level,
                text=each.line.text,
            )
            for each in stored
        ]
        return slice_page(lines, paging, f"logs/{execution_id}", recorded[-1].sequence)

    return [get_arguments, list_attempts, list_steps, list_facts, list_lines]


async def _inherited(view: View, first: AnyFact | Unknown) -> Inherited | None:
    """What a restarted execution took over, None for any other."""
    if not isinstance(first, Enqueued) or first.inherited_ref is None:
        return None
    try:
        return read_inherited(b"".join([chunk async for chunk in view.objects.chunks(first.inherited_ref)]))
    except LookupError:
        detail = f"What it took over ({first.inherited_ref}) is not in the object store."
        raise Rejected("internal", detail) from None
