"""Routes for the busy doors: documented by Litestar, answered without it.

Measured: Litestar spends 73 to 89 µs around a handler that does nothing, a direct route 15 µs, which matters
where accepting an execution takes little more. A direct route gets the raw body and headers and answers with finished
bytes. The same function stands behind an ordinary Litestar handler, which documents it in OpenAPI and answers wherever
the outer door does not.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import msgspec
from litestar import HttpMethod, Request, route
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Operation, RequestBody
from litestar.openapi.spec.media_type import OpenAPIMediaType
from litestar.openapi.spec.schema import Schema
from litestar.response.base import ASGIResponse

from penstock.service.dialect import DIALECT, Dialect
from penstock.service.problems import Answer

_VARIABLE = re.compile(r"\{(\w+)\}")

OPTION = "direct"
COMPONENTS = "components"
"""Key under which a handler carries the schemas of its body, for the OpenAPI document."""


class Call(NamedTuple):
    """One request: the variable part of the path, headers in lower case (the last of a name counts), and the body."""

    value: str
    headers: Mapping[bytes, bytes]
    body: bytes

    def header(self, name: bytes) -> str | None:
        found = self.headers.get(name)
        return None if found is None else found.decode("latin-1")


Handle = Callable[[Call], Awaitable[Answer]]


class DirectRoute(NamedTuple):
    """A path of the form `<prefix>{variable}<suffix>`, or exactly `prefix` when `suffix` is None.

    An open one asks for no API key, since its variable is a right of its own: it answers browsers of any origin, takes
    small bodies only, and its path is not logged.
    """

    prefix: str
    suffix: str | None
    handle: Handle
    is_open: bool = False
    method: str = HttpMethod.POST.value

    def match(self, path: str) -> str | None:
        """The variable part, or None for another path."""
        if self.suffix is None:
            return "" if path == self.prefix else None
        if not (path.startswith(self.prefix) and path.endswith(self.suffix)):
            return None
        value = path[len(self.prefix) : len(path) - len(self.suffix)]
        return value if value and "/" not in value else None


def direct_post(
    path: str,
    handle: Handle,
    *,
    operation_id: str,
    summary: str,
    body: type,
    answer: type,
    status: int = 202,
    media_types: tuple[str, ...] = ("application/json",),
    example: Any = None,
    method: HttpMethod = HttpMethod.POST,
    is_open: bool = False,
) -> HTTPRouteHandler:
    """A POST route, or one of another `method`. `path` may hold one variable; `body`, `answer` and `example`
    document it.
    """
    (schema,), components = msgspec.json.schema_components([body], ref_template="#/components/schemas/{name}")

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            # Litestar passes plain dicts through, though its types do not say so.
            content = OpenAPIMediaType(schema=cast(Schema, schema), example=example)
            if method != HttpMethod.DELETE:
                self.request_body = RequestBody(content=dict.fromkeys(media_types, content), required=True)

    return route(
        _VARIABLE.sub(r"{\1:str}", path),
        http_method=method,
        status_code=status,
        summary=summary,
        operation_id=operation_id,
        operation_class=Documented,
        security=[{}] if is_open else None,
        responses={status: ResponseSpec(answer, generate_examples=False, description="Accepted")},
        opt={COMPONENTS: components, OPTION: _direct(path, handle, method, is_open=is_open)},
    )(_slowly(handle))


def foreign(path: str, handle: Handle, dialect: Dialect, method: HttpMethod = HttpMethod.POST) -> HTTPRouteHandler:
    """A route that speaks a dialect. Our OpenAPI document leaves it out: its form is defined elsewhere."""
    return route(
        _VARIABLE.sub(r"{\1:str}", path),
        http_method=method,
        include_in_schema=False,
        opt={OPTION: _direct(path, handle, method), DIALECT: dialect},
    )(_slowly(handle))


def _direct(path: str, handle: Handle, method: HttpMethod, *, is_open: bool = False) -> DirectRoute:
    variable = _VARIABLE.search(path)
    prefix, suffix = (path[: variable.start()], path[variable.end() :]) if variable else (path, None)
    return DirectRoute(prefix, suffix, handle, is_open, method.value)


def _slowly(handle: Handle) -> Callable[[Request[Any, Any, Any]], Awaitable[ASGIResponse]]:
    async def answer_slowly(request: Request[Any, Any, Any]) -> ASGIResponse:
        headers = {key.lower(): value for key, value in request.scope["headers"]}
        value = next(iter(request.path_params.values()), "")
        done = await handle(Call(str(value), headers, await request.body()))
        return ASGIResponse(
            body=done.body, status_code=done.status, media_type=done.media_type, headers=dict(done.headers)
        )

    return answer_slowly
