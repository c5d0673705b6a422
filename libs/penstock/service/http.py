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
from penstock.domain.limits import request_bytes_max
from penstock.ports import Unavailable
from penstock.service.direct import OPTION, Call, DirectRoute
from penstock.service.openapi import document, openapi_config
from penstock.service.problems import Answer, problem_answer

logger = structlog.get_logger("penstock")

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Addresses that answer without a key: what an orchestrator asks."""

Check = Callable[[], str | None]


class HttpApp:
    """ASGI: key, then size, then the direct routes, then Litestar; every error is a problem document."""

    def __init__(self, routes: Sequence[ControllerRouterHandler], api_key: str, checks: Mapping[str, Check]) -> None:
        if not api_key:
            raise Rejected("invalid_option", "There is no API key. Set PENSTOCK_API_KEY.")
        self._bearer = b"Bearer " + api_key.encode()
        self._key = api_key.encode()
        self._direct = _direct_routes(routes)
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
        path = scope["path"]
        headers = dict(scope["headers"])
        if path not in OPEN_PATHS and not self._is_authorised(headers.get(b"authorization", b"")):
            await _send_answer(send, problem_answer(Rejected("unauthorized", "The API key is missing or wrong.")))
            return
        if scope["method"] == "POST":
            for direct in self._direct:
                value = direct.match(path)
                if value is not None:
                    await _send_answer(send, await _answer(direct, value, headers, receive, path))
                    return
        await self.litestar(scope, receive, send)

    def _is_authorised(self, header: bytes) -> bool:
        if hmac.compare_digest(header, self._bearer):
            return True
        scheme, _, key = header.partition(b" ")
        return hmac.compare_digest(key.strip(), self._key) and scheme.lower() == b"bearer"


async def _answer(
    direct: DirectRoute, value: str, headers: Mapping[bytes, bytes], receive: Receive, path: str
) -> Answer:
    try:
        return await direct.handle(Call(value, headers, await read_body(headers, receive)))
    except Exception as error:
        return problem_answer(error, path)


async def read_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The whole body. Raises Rejected `payload_too_large` as soon as it is over the limit, announced or not."""
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > request_bytes_max:
        raise _too_large()
    message: Any = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > request_bytes_max:
            raise _too_large()
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > request_bytes_max:
            raise _too_large()
    return b"".join(parts)


def _too_large() -> Rejected:
    return Rejected("payload_too_large", f"A request has at most {request_bytes_max} bytes.", limit=request_bytes_max)


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
