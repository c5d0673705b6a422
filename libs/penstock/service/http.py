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
from penstock.service.direct import OPTION, Call, DirectRoute
from penstock.service.openapi import document, openapi_config
from penstock.service.pages import SIGN_IN, Door, is_page
from penstock.service.problems import Answer, problem_answer
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

Check = Callable[[], str | None]


class HttpApp:
    """ASGI: key (for pages a session will do), size, direct routes, Litestar; every error is a problem document."""

    def __init__(
        self,
        routes: Sequence[ControllerRouterHandler],
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
        self._direct = _direct_routes(routes)
        self._open_paths = OPEN_PATHS | {METRICS_PATH} if metrics_open else OPEN_PATHS
        self.litestar = Litestar(
            route_handlers=[*routes, *_health_routes(checks)],
            exception_handlers={HTTPException: _handle, Rejected: _handle, Unavailable: _handle, Exception: _handle},
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
        headers = dict(scope["headers"])
        if not (self._is_authorised(headers.get(b"authorization", b"")) or self._is_open(path)):
            refusal = await self._at_the_door(path, method, scope["query_string"], headers, receive)
            if refusal is not None:
                await _send_answer(send, refusal)
                return
        if method in ("POST", "OPTIONS"):
            for direct in self._direct:
                value = direct.match(path)
                if value is not None and method == "POST":
                    await _send_answer(send, await _answer(direct, value, headers, receive, path))
                    return
                if value is not None and direct.is_open:
                    await _send_answer(send, Answer(204, b"", {**CROSS_ORIGIN, **PREFLIGHT}))
                    return
        await self.litestar(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open_paths or any(each.is_open and each.match(path) is not None for each in self._direct)

    async def _at_the_door(
        self, path: str, method: str, query: bytes, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Answer | None:
        """What to answer a request without the key; None lets it in, since it has a session and wants a page."""
        if not is_page(path):
            return problem_answer(Rejected("unauthorized", "The API key is missing or wrong."))
        if path == SIGN_IN:
            try:
                return self._door.sign_in(await read_body(headers, receive) if method == "POST" else b"")
            except Rejected as refusal:
                return problem_answer(refusal, path)
        return self._door.refusal(path, query, method, session_of(headers))

    def _is_authorised(self, header: bytes) -> bool:
        if hmac.compare_digest(header, self._bearer):
            return True
        scheme, _, key = header.partition(b" ")
        return hmac.compare_digest(key.strip(), self._key) and scheme.lower() == b"bearer"


async def _answer(
    direct: DirectRoute, value: str, headers: Mapping[bytes, bytes], receive: Receive, path: str
) -> Answer:
    limit = OPEN_REQUEST_BYTES_MAX if direct.is_open else request_bytes_max
    try:
        answer = await direct.handle(Call(value, headers, await read_body(headers, receive, limit)))
    except Exception as error:
        # The variable part of an open path is a right, and rights are not logged.
        answer = problem_answer(error, direct.prefix if direct.is_open else path)
    return answer._replace(headers={**answer.headers, **CROSS_ORIGIN}) if direct.is_open else answer


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int = request_bytes_max) -> bytes:
    """The whole body. Raises Rejected `payload_too_large` as soon as it is over the limit, announced or not."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    message: Any = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> Rejected:
    return Rejected("payload_too_large", f"This address takes at most {limit} bytes.", limit=limit)


async def _send_answer(send: Send, answer: Answer) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"content-type", answer.media_type.encode()))
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    answer = problem_answer(error, request.scope["path"])
    return Response(
        content=answer.body, status_code=answer.status, media_type=answer.media_type, headers=dict(answer.headers)
    )


def _direct_routes(routes: Iterable[ControllerRouterHandler]) -> list[DirectRoute]:
    handlers = [each for each in routes if isinstance(each, HTTPRouteHandler)]
    return [each.opt[OPTION] for each in handlers if OPTION in each.opt]


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
