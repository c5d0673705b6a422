"""Every error of the HTTP doors as one RFC 9457 problem document with a code of the catalogue."""

import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
import structlog
from litestar.exceptions import HTTPException, ValidationException

from penstock.domain.errors import CATALOGUE, Rejected
from penstock.ports import Unavailable
from penstock.service.concern import request_id

logger = structlog.get_logger("penstock")

PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM_TYPE = "urn:penstock:problem:"
RETRY_AFTER_SECONDS = 1

_BY_STATUS = {
    400: "invalid_json",
    401: "unauthorized",
    403: "forbidden",
    404: "unknown_route",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    503: "unavailable",
}

_HEADERS: dict[str, dict[str, str]] = {
    "unauthorized": {"WWW-Authenticate": 'Bearer realm="penstock"'},
    "unavailable": {"Retry-After": str(RETRY_AFTER_SECONDS)},
}


class Trouble(NamedTuple):
    """What went wrong with a request, before anybody has put it into the words of a door."""

    code: str
    """Of the catalogue."""
    detail: str
    pointers: list[tuple[str, str]] = []
    members: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}

    @property
    def sentence(self) -> str:
        """What happened and what to do."""
        hint = CATALOGUE[self.code].hint
        return self.detail if hint in self.detail else f"{self.detail} {hint}"


_UNAVAILABLE = Trouble("unavailable", "The event log does not answer.")


class Answer(NamedTuple):
    """A finished answer: status, body and headers beside Content-Type and Content-Length."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    media_type: str = "application/json"


def problem_members(trouble: Trouble) -> dict[str, Any]:
    """The problem document; further members never replace the standard ones."""
    kind = CATALOGUE[trouble.code]
    return {
        **trouble.members,
        "type": PROBLEM_TYPE + trouble.code,
        "title": kind.title,
        "status": kind.status,
        "detail": trouble.sentence,
        "code": trouble.code,
        "errors": [{"pointer": pointer, "detail": text} for pointer, text in trouble.pointers],
    }


def rejected_members(error: Rejected) -> dict[str, Any]:
    """The problem document of a rejected request, also used for the single items of a batch."""
    return problem_members(_rejected(error))


def unavailable_members() -> dict[str, Any]:
    return problem_members(_UNAVAILABLE)


def problem_answer(error: Exception, path: str = "") -> Answer:
    """The answer to a request that ended with this error. Nothing about an unforeseen error leaves the process."""
    return problem(trouble_of(error, path))


def problem(trouble: Trouble) -> Answer:
    """The problem document as an answer."""
    members = problem_members(trouble)
    return Answer(
        status=members["status"],
        body=msgspec.json.encode(members, enc_hook=str),
        headers={**trouble.headers, **_HEADERS.get(trouble.code, {})},
        media_type=PROBLEM_MEDIA_TYPE,
    )


def trouble_of(error: Exception, path: str) -> Trouble:
    """What to tell the caller of this error; what is unforeseen is logged here and told nobody."""
    if isinstance(error, Rejected):
        return _rejected(error)
    if isinstance(error, Unavailable):
        logger.warning("unavailable", path=path, error=str(error))
        return _UNAVAILABLE
    if isinstance(error, ValidationException):
        return _invalid(error)
    if isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        allow = {key: value for key, value in (error.headers or {}).items() if key.lower() == "allow"}
        return Trouble(_BY_STATUS[error.status_code], _sentence(error, path), headers=allow)
    if isinstance(error, HTTPException) and 400 <= error.status_code < 500:
        return Trouble("invalid_query", _sentence(error, path))
    # Plain text: a rendered traceback may show local variables, and with them keys and payloads.
    logger.error("request_failed", path=path, stack="".join(traceback.format_exception(error)))
    # Whoever reports it can be found in the lines.
    number = request_id()
    members = {"request_id": number} if number else {}
    return Trouble("internal", "The request could not be carried out.", members=members)


def _rejected(error: Rejected) -> Trouble:
    return Trouble(error.code, error.detail, error.pointers, error.members)


def _sentence(error: HTTPException, path: str) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"There is nothing at {path[:200]}."
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "The body of the request is over the limit."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{path[:200]} does not answer to this method."
    return f"{str(error.detail).rstrip('.')}."


def _invalid(error: ValidationException) -> Trouble:
    """Litestar lists the parameters at fault in `extra`: fields of the body, or parts of the address."""
    listed = error.extra if isinstance(error.extra, list) else []
    pointers, in_body = [], False
    for item in listed:
        key, text = str(item.get("key", "")), str(item.get("message", ""))
        in_body = in_body or item.get("source") == "body"
        pointers.append(("/" + key.replace(".", "/"), text))
    code = "invalid_arguments" if in_body else "invalid_query"
    return Trouble(code, "The request does not have the documented form.", pointers)
