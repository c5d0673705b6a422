"""Functions as runners declared them, and events with what became of them."""

from typing import Annotated

from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from penstock.domain.errors import Rejected
from penstock.jetstream.leases import LeaseTable
from penstock.ports import Unavailable
from penstock_query.cursors import fingerprint
from penstock_query.queries import event_filter
from penstock_query.reads import EventRow
from penstock_query.routes.answers import (
    After,
    AnyRequest,
    CursorText,
    Limit,
    asked,
    begun,
    page,
    parameter,
    positioned,
    settled,
)
from penstock_query.shapes import EventShape, FunctionShape, Page, event_shape, function_shape
from penstock_query.view import View

EventState = Annotated[
    str | None, parameter("state", "matched, unmatched, accepted (both) or rejected; several separated by commas.")
]
EventName = Annotated[str | None, parameter("name", "Event names, separated by commas.")]


def catalogue_routes(view: View, leases: LeaseTable) -> list[ControllerRouterHandler]:
    """/v1/functions and /v1/events."""

    @get("/v1/functions", operation_id="listFunctions", summary="List the declared functions by name")
    async def list_functions(
        request: AnyRequest, limit: Limit = None, cursor: CursorText = None, after: After = None
    ) -> Response[Page[FunctionShape]]:
        """Each as its runner declared it last."""
        filters = fingerprint("functions")
        found = await view.reads.functions(*await begun(view, asked(request), filters, str))
        live = await _living(leases)
        return page(found, [function_shape(row.fact, row.sequence, live) for row in found.items], filters)

    @get("/v1/functions/{name:str}", operation_id="getFunction", summary="Read one function")
    async def get_function(name: FromPath[str], request: AnyRequest, after: After = None) -> Response[FunctionShape]:
        """Its options, its parameters, and the events that start it."""
        await settled(view, asked(request))
        row, position = await view.reads.function(name)
        if row is None:
            raise Rejected("unknown_function", f"No runner has declared {name[:80]!r}.")
        return positioned(function_shape(row.fact, row.sequence, await _living(leases)), position)

    @get("/v1/events", operation_id="listEvents", summary="List events, the latest first")
    async def list_events(
        request: AnyRequest,
        in_state: EventState = None,
        name: EventName = None,
        limit: Limit = None,
        cursor: CursorText = None,
        after: After = None,
    ) -> Response[Page[EventShape]]:
        """Every event, those that matched nothing and those that were rejected included."""
        query = asked(request)
        wanted = event_filter(query)
        found = await view.reads.events(wanted, *await begun(view, query, wanted.fingerprint))
        return page(found, [_shape(row) for row in found.items], wanted.fingerprint)

    @get("/v1/events/{event_id:str}", operation_id="getEvent", summary="Read one event")
    async def get_event(event_id: FromPath[str], request: AnyRequest, after: After = None) -> Response[EventShape]:
        """By its id, or by its position (`e:<n>`)."""
        await settled(view, asked(request))
        row, position = await view.reads.event(event_id)
        if row is None:
            raise Rejected("unknown_event", f"There is no event {event_id[:80]!r}, or it has not been fanned out yet.")
        return positioned(_shape(row), position)

    return [list_functions, get_function, list_events, get_event]


async def _living(leases: LeaseTable) -> dict[str, dict[str, str]] | None:
    try:
        return await leases.versions()
    except Unavailable:
        # The rest is in the view, and can be shown all the same.
        return None


def _shape(row: EventRow) -> EventShape:
    return event_shape(row.fact, row.id, row.name, row.state, row.log_sequence)
