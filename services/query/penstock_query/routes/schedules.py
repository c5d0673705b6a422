"""Schedules with their next ticks, and the ledger of what became of each tick."""

import time

from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from penstock.domain.errors import Rejected
from penstock_query.cursors import fingerprint
from penstock_query.routes.answers import After, AnyRequest, CursorText, Limit, asked, begun, page, positioned, settled
from penstock_query.schedules import ScheduleShape, TickShape, schedule_shape, tick_shape
from penstock_query.shapes import Page
from penstock_query.view import View


def schedule_routes(view: View) -> list[ControllerRouterHandler]:
    """/v1/schedules, one of them, and its ticks."""

    @get("/v1/schedules", operation_id="listSchedules", summary="List the schedules by key")
    async def list_schedules(
        request: AnyRequest, limit: Limit = None, cursor: CursorText = None, after: After = None
    ) -> Response[Page[ScheduleShape]]:
        """Each with its next five ticks and its state in a sentence."""
        filters = fingerprint("schedules")
        found = await view.reads.schedules(*await begun(view, asked(request), filters, str))
        return page(found, [schedule_shape(each, _now()) for each in found.items], filters)

    @get("/v1/schedules/{key:str}", operation_id="getSchedule", summary="Read one schedule")
    async def get_schedule(key: FromPath[str], request: AnyRequest, after: After = None) -> Response[ScheduleShape]:
        """With its next five ticks."""
        await settled(view, asked(request))
        state, position = await view.reads.schedule(key)
        if state is None or state.spec is None:
            raise _unknown(key)
        return positioned(schedule_shape(state, _now()), position)

    @get("/v1/schedules/{key:str}/ticks", operation_id="listTicks", summary="List what became of each tick")
    async def list_ticks(
        key: FromPath[str],
        request: AnyRequest,
        limit: Limit = None,
        cursor: CursorText = None,
        after: After = None,
    ) -> Response[Page[TickShape]]:
        """The latest first; those of a deleted schedule stay."""
        filters = fingerprint("ticks", key)
        limit_and_cursor = await begun(view, asked(request), filters)
        state, _ = await view.reads.schedule(key)
        if state is None:
            raise _unknown(key)
        found = await view.reads.ticks(key, *limit_and_cursor)
        return page(found, [tick_shape(*row) for row in found.items], filters)

    return [list_schedules, get_schedule, list_ticks]


def _now() -> int:
    return time.time_ns() // 1000


def _unknown(key: str) -> Rejected:
    return Rejected("unknown_schedule", f"There is no schedule {key[:80]!r}.")
