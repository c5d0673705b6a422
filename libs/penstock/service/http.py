"""The HTTP app of a process: the routes of its services behind one door that checks key and size first."""

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from litestar import Litestar, Request, Response, get
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from penstock.domain.errors import Rejected
from penstock.domain.limits import message_bytes_max, request_bytes_max
from penstock.ports import Unavailable
from penstock.service.annex import Annex, annex_at
from penstock.service.bodies import read_body
from penstock.service.concern import concerning_request
from penstock.service.dialect import Knock, dialect_at, dialects_of, is_bearer
from penstock.service.direct import OPTION, Call, DirectRoute
from penstock.service.openapi import document, openapi_config
from penstock.service.pages import SIGN_IN, Door, is_page
from penstock.service.problems import Answer, Trouble, problem, problem_answer, trouble_of
from penstock.service.session import Sessions, session_of

logger = structlog.get_logger("penstock")

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Addresses that answer without a key: what an orchestrator asks."""

METRICS_PATH = "/metrics"

OPEN_REQUEST_BYTES_MAX = message_bytes_max + 8 * 1024
"""Largest body that is taken from somebody without an API key: one message and what is around it."""

CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Content-Type",
    "Access-Control-Max-Age": "600",
}

NO_KEY = Trouble("unauthorized", "The API key is missing or wrong.")

Check = Callable[[], str | None]


class HttpApp:
    """ASGI: annexes, key (for pages a session will do), size, direct routes, Litestar.

    Every error is a problem document, or what the dialect of its address makes of it.
    """

    def __init__(
        self,
        routes: "Sequence[ControllerRouterHandler | Annex]",
        api_key: str,
        checks: Mapping[str, Check],
        *,
        secure: bool = False,
        metrics_open: bool = False,
    ) -> None:
        """`secure`: people reach it over HTTPS, and cookies must not travel otherwise. `metrics_open`: whoever asks
        may read the metrics.
        """
        if not api_key:
            raise Rejected("invalid_option", "There is no API key. Set PENSTOCK_API_KEY.")
        self._bearer = b"Bearer " + api_key.encode()
        self._key = api_key.encode()
        self._door = Door(Sessions(api_key), secure=secure)
        self._annexes = [each for each in routes if isinstance(each, Annex)]
        handlers = [each for each in routes if not isinstance(each, Annex)]
        self._direct = _direct_routes(handlers)
        self._open = [each for every in self._direct.values() for each in every if each.is_open]
        self._dialects = dialects_of(handlers)
        self._open_paths = OPEN_PATHS | {METRICS_PATH} if metrics_open else OPEN_PATHS
        self.litestar = Litestar(
            route_handlers=[*handlers, *_health_routes(checks)],
            exception_handlers=dict.fromkeys((HTTPException, Rejected, Unavailable, Exception), self._handle),
            openapi_config=openapi_config(),
            logging_config=None,
            request_max_body_size=request_bytes_max,
        )
        document(self.litestar)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.litestar(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        annex = annex_at(self._annexes, path)
        if annex is not None:
            await _send_answer(send, await annex.answer(scope, receive, self._is_key))
            return
        knock = Knock(path, method, scope["query_string"], dict(scope["headers"]))
        concerning_request(method, path, knock.headers)
        refusal = await self._refusal(knock, receive)
        if refusal is not None:
            await _send_answer(send, refusal)
            return
        for direct in self._direct.get(method, ()):
            value = direct.match(path)
            if value is not None:
                await _send_answer(send, await self._answer(direct, value, knock, receive))
                return
        if method == "OPTIONS" and self._is_open(path):
            await _send_answer(send, Answer(204, b"", {**CROSS_ORIGIN, **PREFLIGHT}))
            return
        await self.litestar(scope, receive, send)

    async def _refusal(self, knock: Knock, receive: Receive) -> Answer | None:
        """What to answer whoever may not come in; None lets the request in."""
        dialect = dialect_at(self._dialects, knock.path)
        if dialect is not None:
            return None if dialect.admits(knock, self._is_key) else dialect.word(NO_KEY, knock.path)
        if self._is_authorised(knock.authorization) or knock.path in self._open_paths or self._is_open(knock.path):
            return None
        return await self._at_the_door(knock, receive)

    async def _answer(self, direct: DirectRoute, value: str, knock: Knock, receive: Receive) -> Answer:
        limit = OPEN_REQUEST_BYTES_MAX if direct.is_open else request_bytes_max
        try:
            body = await read_body(knock.headers, receive, limit)
            answer = await direct.handle(Call(value, knock.headers, body))
        except Exception as error:
            # The variable part of an open path is a right, and rights are not logged.
            answer = self._worded(error, direct.prefix if direct.is_open else knock.path)
        return answer._replace(headers={**answer.headers, **CROSS_ORIGIN}) if direct.is_open else answer

    def _worded(self, error: Exception, path: str) -> Answer:
        dialect, trouble = dialect_at(self._dialects, path), trouble_of(error, path)
        return problem(trouble) if dialect is None else dialect.word(trouble, path)

    def _handle(self, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        answer = self._worded(error, request.scope["path"])
        return Response(
            content=answer.body, status_code=answer.status, media_type=answer.media_type, headers=dict(answer.headers)
        )

    def _is_open(self, path: str) -> bool:
        return any(each.match(path) is not None for each in self._open)

    async def _at_the_door(self, knock: Knock, receive: Receive) -> Answer | None:
        """What to answer a request without the key; None lets it in, since it has a session and wants a page."""
        path, method, query, headers = knock
        if not is_page(path):
            return problem(NO_KEY)
        if path == SIGN_IN:
            try:
                return self._door.sign_in(await read_body(headers, receive) if method == "POST" else b"")
            except Rejected as refusal:
                return problem_answer(refusal, path)
        return self._door.refusal(path, query, method, session_of(headers))

    def _is_key(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self._key)

    def _is_authorised(self, header: bytes) -> bool:
        return hmac.compare_digest(header, self._bearer) or is_bearer(header, self._is_key)


async def _send_answer(send: Send, answer: Answer) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"content-type", answer.media_type.encode()))
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _direct_routes(routes: Iterable[ControllerRouterHandler]) -> dict[str, list[DirectRoute]]:
    """By method."""
    found: dict[str, list[DirectRoute]] = {}
    for each in routes:
        if isinstance(each, HTTPRouteHandler) and OPTION in each.opt:
            found.setdefault(each.opt[OPTION].method, []).append(each.opt[OPTION])
    return found


def _health_routes(checks: Mapping[str, Check]) -> list[ControllerRouterHandler]:
    @get("/healthz", summary="Is the process alive?", security=[{}], sync_to_thread=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz", summary="Can it do its work?", security=[{}], sync_to_thread=False)
    def readyz() -> ASGIResponse:
        failing = {name: problem for name, check in checks.items() if (problem := check()) is not None}
        if not failing:
            return ASGIResponse(body=b'{"status":"ready"}', media_type="application/json")
        sentence = "Not ready: " + "; ".join(f"{name}: {problem}" for name, problem in failing.items()) + "."
        answer = problem_answer(Rejected("unavailable", sentence, failing=failing))
        return ASGIResponse(
            body=answer.body, status_code=answer.status, media_type=answer.media_type, headers=dict(answer.headers)
        )

    return [healthz, readyz]


def json_answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, msgspec.json.encode(body), headers or {})
