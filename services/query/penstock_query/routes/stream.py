"""The stream of changes as server-sent events."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from sqlalchemy.exc import SQLAlchemyError

from penstock.ports import Unavailable
from penstock.wire.sse import LAST_EVENT_ID, MEDIA_TYPE, event_block, position_block
from penstock_query.queries import StreamFilter, stream_filter, stream_position
from penstock_query.routes.answers import SEQUENCE, AnyRequest, asked, parameter
from penstock_query.routes.executions import Function, ParentId, State
from penstock_query.stream import Changes, Stretch
from penstock_query.view import View

HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 1000

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

OneExecution = Annotated[str | None, parameter("execution", "Only this execution.")]
Resume = Annotated[
    str | None, parameter("after", "Go on after this position (`x:<n>`); the header `Last-Event-ID` goes before it.")
]


ComingBack = Annotated[
    str | None, HeaderParameter(name=LAST_EVENT_ID, description="The `id` of the last event that was read (`x:<n>`).")
]


class SkippedShape(msgspec.Struct, frozen=True, kw_only=True):
    """Data of the event `skipped`: changes after `after` and up to `sequence` are not sent. Read the list instead."""

    after: str
    sequence: str


def stream_routes(view: View, changes: Changes) -> list[ControllerRouterHandler]:
    """/v1/stream."""

    @get(
        "/v1/stream",
        operation_id="streamChanges",
        summary="Follow changes of executions as server-sent events",
        media_type=MEDIA_TYPE,
        responses={200: ResponseSpec(str, generate_examples=False, description="Events", media_type=MEDIA_TYPE)},
    )
    async def stream_changes(
        request: AnyRequest,
        in_state: State = None,
        function: Function = None,
        execution: OneExecution = None,
        parent_id: ParentId = None,
        after: Resume = None,
        last_event_id: ComingBack = None,
    ) -> Stream:
        """One event for each change, sent when the lists have it; `metadata.<key>=a,b` filters as there.

        `event` is created, state, attempt, progress or final, `id` the log position of the change, and `data` the
        execution after it, as `/v1/executions/{id}` answers it; filters look at that. Without a position it begins now.
        With one it goes on without gap or repeat, after a restart of the service too. One more than 100,000 facts back
        begins with the event `skipped`. A comment with the present position comes at least every 15 seconds.
        """
        query = asked(request)
        wanted, resume = stream_filter(query), stream_position(query, last_event_id)
        query.finish()
        position = await changes.position()
        if resume is not None:
            await view.reach(resume)
            position = resume.sequence
        return Stream(
            _blocks(changes, wanted, position), media_type=MEDIA_TYPE, headers={SEQUENCE: f"x:{position}", **HEADERS}
        )

    return [stream_changes]


async def _blocks(changes: Changes, wanted: StreamFilter, position: int) -> AsyncIterator[bytes]:
    with changes.reader():
        yield position_block(f"x:{position}", "changes after this position", RETRY_MILLISECONDS)
        due = time.monotonic() + HEARTBEAT_SECONDS
        while not changes.closed:
            try:
                found = await changes.after(position, max(0.0, due - time.monotonic()))
            except (Unavailable, SQLAlchemyError):
                yield position_block(f"x:{position}", "changes cannot be read at the moment; come back")
                return
            block = _block(found, wanted, position)
            position = found.position
            if not block and time.monotonic() >= due:
                block = position_block(f"x:{position}", "still here")
            if block:
                yield block
                due = time.monotonic() + HEARTBEAT_SECONDS


def _block(found: Stretch, wanted: StreamFilter, position: int) -> bytes:
    """What to send of it; empty if nothing fits."""
    if found.skipped:
        skipped = SkippedShape(after=f"x:{position}", sequence=f"x:{found.position}")
        return event_block(skipped.sequence, "skipped", msgspec.json.encode(skipped))
    return b"".join(
        event_block(f"x:{each.sequence}", each.event, msgspec.json.encode(each.execution))
        for each in found.changes
        if wanted.fits(each.execution)
    )
