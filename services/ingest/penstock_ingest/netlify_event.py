"""What a Netlify function is called with: the HTTP request as its platform describes it."""

import base64
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from penstock.domain.errors import Rejected
from penstock.domain.limits import netlify_body_bytes_max, netlify_head_bytes_max
from penstock.service.session import without_session
from penstock.wire.cloudevents import media_type

REQUEST_ID = "x-nf-request-id"
"""Header of every answer of the door, and of the request as its function sees it."""

_TEXT = re.compile(
    r"text/.*|.*\+(json|xml)|application/(json|javascript|xml|x-www-form-urlencoded|graphql|csp-report|x-ndjson)"
)
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_CLIENT = ("client-ip", "x-nf-client-connection-ip")
_PLATFORM = "x-nf-"
_SCHEMES = ("http", "https")


class WebRequest(NamedTuple):
    """A request as it came; `path` and `query` are not decoded, names of headers are in lower case."""

    method: str
    scheme: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    client: str


def event_of(request: WebRequest, request_id: str, is_right: Callable[[str], bool]) -> dict[str, Any]:
    """The event. Raises Rejected `payload_too_large`.

    `is_right` knows an Authorization header that is a right here: user code and the log must not have it.
    """
    _check_head(request)
    headers = _gathered(_passed_on(request, request_id, is_right))
    query = _gathered(parse_qsl(request.query, keep_blank_values=True, errors="replace"))
    is_base64 = not is_text(headers.get("content-type", [""])[-1])
    return {
        "path": request.path,
        "httpMethod": request.method,
        "headers": _joined(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _joined(query),
        "multiValueQueryStringParameters": query,
        "body": _body(request.body, is_base64=is_base64),
        "isBase64Encoded": is_base64,
        "rawUrl": _url(request, headers),
        "rawQuery": request.query,
    }


def is_text(content_type: str) -> bool:
    """Whether a body of this type travels as it is. Its bytes do not matter; without a type it is no text."""
    return _TEXT.fullmatch(media_type(content_type)) is not None


def _passed_on(request: WebRequest, request_id: str, is_right: Callable[[str], bool]) -> Iterable[tuple[str, str]]:
    """The headers, without what is a right here, and with what the platform adds."""
    for name, given in request.headers:
        value = without_session(given) if name == "cookie" else given
        is_hidden = name in _CLIENT or name.startswith(_PLATFORM) or (name == "authorization" and is_right(value))
        if not (is_hidden or (name == "cookie" and not value)):
            yield name, value
    yield REQUEST_ID, request_id
    for name in _CLIENT:
        yield name, request.client


def _check_head(request: WebRequest) -> None:
    """Headers and address are stored with each call, twice over. Raises Rejected `payload_too_large`."""
    size = len(request.path) + len(request.query) + sum(len(name) + len(value) for name, value in request.headers)
    if size > netlify_head_bytes_max:
        sentence = f"Address and headers have {size} bytes; at most {netlify_head_bytes_max} are taken."
        raise Rejected("payload_too_large", sentence, limit=netlify_head_bytes_max)


def _body(body: bytes, *, is_base64: bool) -> str | None:
    if not body:
        return None
    text = base64.b64encode(body).decode() if is_base64 else body.decode("utf-8", "replace")
    if (len(text) if text.isascii() else len(text.encode())) > netlify_body_bytes_max:
        raise Rejected(
            "payload_too_large",
            f"A function takes at most {netlify_body_bytes_max} bytes; what is no text counts as base64, a third more.",
            limit=netlify_body_bytes_max,
        )
    return text


def _url(request: WebRequest, headers: dict[str, list[str]]) -> str:
    """As the caller wrote it, as far as can be known; a proxy in front says whether that was https."""
    host, told = headers.get("host", [""])[-1], headers.get("x-forwarded-proto", [""])[-1]
    scheme = told if told in _SCHEMES else request.scheme
    known = host if _HOST.fullmatch(host) else "localhost"
    return f"{scheme}://{known}{request.path}" + (f"?{request.query}" if request.query else "")


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _joined(lists: dict[str, list[str]]) -> dict[str, str]:
    return {name: ", ".join(values) for name, values in lists.items()}
