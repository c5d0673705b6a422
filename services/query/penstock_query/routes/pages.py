"""The page of one execution, for people who follow a link from a notification."""

import secrets

from litestar import get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler

from penstock.domain.errors import Rejected
from penstock.handle import fold_recorded
from penstock.service.pages import message_page, page_answer
from penstock.service.problems import Answer
from penstock.service.session import Sessions, session_of
from penstock_query.page import Marks, execution_page
from penstock_query.queries import NotificationFilter
from penstock_query.routes.answers import AnyRequest
from penstock_query.view import View

DELIVERIES_MAX = 20


def page_routes(view: View, sessions: Sessions) -> list[ControllerRouterHandler]:
    """/executions/{id}. The door has let in whoever gets here."""

    @get("/executions/{execution_id:str}", include_in_schema=False)
    async def get_page(execution_id: FromPath[str], request: AnyRequest) -> ASGIResponse:
        return _response(await _page(view, sessions, execution_id, request))

    return [get_page]


async def _page(view: View, sessions: Sessions, execution_id: str, request: AnyRequest) -> Answer:
    try:
        recorded = await view.recorded(execution_id)
    except Rejected as refusal:
        return message_page(refusal.kind.title, refusal.detail, refusal.kind.status)
    state = fold_recorded(recorded)
    assert state is not None
    wanted = NotificationFilter(execution_id=execution_id)
    told = await view.reads.notifications(wanted, DELIVERIES_MAX, None)
    marks = Marks(sessions.form_mark(session_of(dict(request.scope["headers"]))), secrets.token_hex(16))
    body = execution_page(state, recorded, told.items, marks, view.trace_url)
    return page_answer(f"{state.function} {state.state}", body)


def _response(answer: Answer) -> ASGIResponse:
    return ASGIResponse(
        body=answer.body, status_code=answer.status, media_type=answer.media_type, headers=dict(answer.headers)
    )
