"""Pages for people: the latest executions, and one execution with all that happened in it."""

import secrets

from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler

from penstock.domain.errors import Rejected
from penstock.handle import fold_recorded
from penstock.ports import Recorded
from penstock.service.pages import AGAIN, HOME, REFRESH, message_page, page_answer
from penstock.service.problems import Answer
from penstock.service.session import Sessions, session_of
from penstock_query.cursors import decode_cursor, encode_cursor
from penstock_query.history import attempts_of
from penstock_query.list_page import list_page
from penstock_query.page import Marks, execution_page
from penstock_query.queries import NotificationFilter, Query, execution_filter
from penstock_query.routes.answers import AnyRequest
from penstock_query.shapes import execution_shape
from penstock_query.view import View

DELIVERIES_MAX = 20
ATTEMPTS_WITH_LINES = 5
REFRESHED_FACTS_MAX = 2000
"""Reading a longer history every few seconds would cost others their answers."""


def page_routes(view: View, sessions: Sessions) -> list[ControllerRouterHandler]:
    """`/` and /executions/{id}. The door has let in whoever gets here."""

    @get(HOME, include_in_schema=False)
    async def get_list(request: AnyRequest) -> ASGIResponse:
        return _response(await _list(view, request))

    @get("/executions/{execution_id:str}", include_in_schema=False)
    async def get_page(execution_id: FromPath[str], request: AnyRequest) -> ASGIResponse:
        return _response(await _page(view, sessions, execution_id, request))

    return [get_list, get_page]


async def _list(view: View, request: AnyRequest) -> Answer:
    """The filters are those of /v1/executions."""
    query = Query([(name, value) for name, value in request.query_params.multi_items() if name != AGAIN])
    try:
        wanted, paging = execution_filter(query), query.paging()
        where = decode_cursor(paging.cursor, wanted.fingerprint)
        query.finish()
    except Rejected as refusal:
        return message_page(refusal.kind.title, refusal.detail, refusal.kind.status, HOME)
    found = await view.reads.executions(wanted, paging.limit, where)
    newer, older = (encode_cursor(each, wanted.fingerprint) for each in (found.previous, found.next))
    shown = [execution_shape(each, view.trace_url) for each in found.items]
    body = list_page(shown, wanted, newer if where else None, older)
    return page_answer("Executions", body, head="" if where else REFRESH)


async def _page(view: View, sessions: Sessions, execution_id: str, request: AnyRequest) -> Answer:
    try:
        recorded = await view.recorded(execution_id)
    except Rejected as refusal:
        return message_page(refusal.kind.title, refusal.detail, refusal.kind.status)
    state = fold_recorded(recorded)
    assert state is not None
    wanted = NotificationFilter(execution_id=execution_id)
    last = _last_attempt(recorded)
    lines = await view.lines.read(execution_id, last, max(1, last - ATTEMPTS_WITH_LINES + 1))
    told = await view.reads.notifications(wanted, DELIVERIES_MAX, None)
    marks = Marks(sessions.form_mark(session_of(dict(request.scope["headers"]))), secrets.token_hex(16))
    body = execution_page(state, recorded, lines, told.items, marks, view.trace_url)
    return page_answer(
        f"{state.function} {state.state}",
        body,
        head=REFRESH if not state.is_final and len(recorded) <= REFRESHED_FACTS_MAX else "",
    )


def _last_attempt(recorded: list[Recorded]) -> int:
    attempts = attempts_of(recorded)
    return attempts[-1].attempt if attempts else 0


def _response(answer: Answer) -> ASGIResponse:
    return ASGIResponse(
        body=answer.body, status_code=answer.status, media_type=answer.media_type, headers=dict(answer.headers)
    )
