"""The buttons on the page of an execution: posted forms, which do what the API does and lead back to a page."""

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from penstock.domain.errors import Rejected
from penstock.ports import Unavailable
from penstock.service.direct import Call, Handle
from penstock.service.pages import form_fields, message_page, redirect
from penstock.service.problems import Answer, unavailable_members
from penstock.service.session import Sessions, session_of
from penstock_ingest.flow import AnyRequest

SAME_SITE = (b"same-origin", b"none")


class PageRoutes:
    """`POST /executions/{id}/rerun` and `/cancel`. The door has let in whoever gets here."""

    def __init__(self, rerun: Handle, cancel: Handle, sessions: Sessions) -> None:
        self._rerun = rerun
        self._cancel = cancel
        self._sessions = sessions

    def handlers(self) -> list[HTTPRouteHandler]:
        @post("/executions/{execution_id:str}/rerun", include_in_schema=False)
        async def rerun(execution_id: FromPath[str], request: AnyRequest) -> ASGIResponse:
            return await self._answer(self._rerun, execution_id, request)

        @post("/executions/{execution_id:str}/cancel", include_in_schema=False)
        async def cancel(execution_id: FromPath[str], request: AnyRequest) -> ASGIResponse:
            return await self._answer(self._cancel, execution_id, request)

        return [rerun, cancel]

    async def _answer(self, act: Handle, execution_id: str, request: AnyRequest) -> ASGIResponse:
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        answer = await self._act(act, execution_id, headers, form_fields(await request.body()))
        return ASGIResponse(
            body=answer.body, status_code=answer.status, media_type=answer.media_type, headers=dict(answer.headers)
        )

    async def _act(self, act: Handle, execution_id: str, headers: dict[bytes, bytes], fields: dict[str, str]) -> Answer:
        back = f"/executions/{execution_id}"
        site = headers.get(b"sec-fetch-site", b"same-origin")
        if site not in SAME_SITE or not self._sessions.is_form_mark(session_of(headers), fields.get("mark", "")):
            return message_page("Not from here", "The form does not come from a page of this session.", 403, back)
        said = {b"content-type": b"application/json"}
        if once := fields.get("once"):
            # A second click on the same button means the same execution.
            said[b"idempotency-key"] = once.encode("latin-1", "replace")
        try:
            answer = await act(Call(execution_id, said, b"{}"))
        except Rejected as refusal:
            return message_page(refusal.kind.title, f"{refusal.detail} {refusal.kind.hint}", refusal.kind.status, back)
        except Unavailable:
            problem = unavailable_members()
            return message_page(problem["title"], problem["detail"], problem["status"], back)
        return redirect(f"/executions/{msgspec.json.decode(answer.body)['id']}")
