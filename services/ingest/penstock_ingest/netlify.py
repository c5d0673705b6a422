"""HTTP: Netlify's address for background functions, which answers 202 before the function runs."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

import msgspec
import uuid_utils
from litestar.types import HTTPScope, Receive
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.errors import CATALOGUE, Rejected
from penstock.domain.execution.create import Origin
from penstock.domain.execution.retries import NETLIFY
from penstock.domain.function.options import CallOptions, FunctionSpec
from penstock.domain.limits import netlify_body_bytes_max
from penstock.ports import Registry
from penstock.service.annex import Annex
from penstock.service.bodies import read_body
from penstock.service.dialect import IsKey, is_bearer
from penstock.service.direct import Call
from penstock.service.problems import Answer, Trouble, trouble_of
from penstock.service.settings import Settings, listed
from penstock.wire.calls import ExecutionRequest
from penstock_ingest.accept import Acceptor
from penstock_ingest.drafts import Drafter
from penstock_ingest.executions import carried_by
from penstock_ingest.netlify_event import REQUEST_ID, WebRequest, event_of

PREFIX = "/.netlify/functions/"
SUFFIX = "-background"
ANY = "*"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
TIMEOUT_SECONDS = 900
TEXT = "text/plain; charset=utf-8"
PREFLIGHT_SECONDS = 600

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NAMES_OF_HEADERS = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,1024}")


class Admission(NamedTuple):
    """Who may start something here without the API key: functions by name, and the origins of pages.

    `*` stands for all of them.
    """

    functions: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> "Admission":
        """As the operator set it."""
        return cls(listed(settings.netlify_open), listed(settings.netlify_origins.lower()))


class NetlifyDoor:
    """Everything below `/.netlify/functions/`.

    Each answer has a request id; that of a 202 is the id of the execution.
    """

    def __init__(self, registry: Registry, drafter: Drafter, acceptor: Acceptor, admission: Admission) -> None:
        self._registry = registry
        self._drafter = drafter
        self._acceptor = acceptor
        self._admission = admission

    def annex(self) -> Annex:
        return Annex(PREFIX, self.answer)

    async def answer(self, scope: HTTPScope, receive: Receive, is_key: IsKey) -> Answer:
        request_id = uuid_utils.uuid7().hex
        headers = dict(scope["headers"])
        allowed = self._allowed(headers)
        if scope["method"] == "OPTIONS":
            done = Answer(204, b"", _preflight(headers) if allowed else {}, TEXT)
        else:
            try:
                done = await self._start(scope, headers, receive, is_key, request_id)
            except Exception as error:
                done = _worded(trouble_of(error, scope["path"]))
        return done._replace(headers={**done.headers, REQUEST_ID: request_id, **allowed})

    async def _start(
        self, scope: HTTPScope, headers: Mapping[bytes, bytes], receive: Receive, is_key: IsKey, request_id: str
    ) -> Answer:
        raw = scope["raw_path"].decode("latin-1")
        # Where the prefix itself is written in another way there is no function.
        name = unquote(raw[len(PREFIX) :].partition("/")[0]) if raw.startswith(PREFIX) else ""
        is_open = not self._admission.functions.isdisjoint((name, ANY))
        if not (is_open or is_bearer(headers.get(b"authorization", b""), is_key)):
            raise Rejected(
                "unauthorized", "The API key is missing or wrong, and this function is not open to everybody."
            )
        if scope["method"] not in METHODS:
            return _text(405, f"Functions are started by {', '.join(METHODS)}.", {"Allow": ", ".join(METHODS)})
        if not _NAME.fullmatch(name):
            return _text(400, "Function name should consist only of alphanumeric characters, hyphen & underscores.")
        spec = self._registry.get(name)
        if spec is None or not is_background(spec):
            return _text(404, "Function not found...")
        body = await read_body(headers, receive, netlify_body_bytes_max)
        event = event_of(
            _web_request(scope, raw, body), request_id, lambda given: is_bearer(given.encode("latin-1"), is_key)
        )
        await self._accept(spec, event, headers, request_id)
        return Answer(202, b"", {}, TEXT)

    async def _accept(
        self, spec: FunctionSpec, event: Mapping[str, object], headers: Mapping[bytes, bytes], request_id: str
    ) -> None:
        request = ExecutionRequest(args=Raw(msgspec.json.encode([event])), options=CallOptions(timeout=TIMEOUT_SECONDS))
        origin = Origin(carried=carried_by(Call(spec.name, headers, b"")))
        draft = self._drafter.draft(spec, request, origin, execution_id=request_id)
        await self._acceptor.accept(draft._replace(fact=replace(draft.fact, policy=NETLIFY)))

    def _allowed(self, headers: Mapping[bytes, bytes]) -> dict[str, str]:
        """What lets a page of another origin read the answer; empty unless the operator lets it."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin or self._admission.origins.isdisjoint((origin.lower(), ANY)):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": REQUEST_ID,
            "Vary": "Origin",
        }


def is_background(spec: FunctionSpec) -> bool:
    """Whether it may be started here: its name says so, or its file."""
    return spec.background or spec.name.endswith(SUFFIX)


def _preflight(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """A preflight starts nothing; it tells what may be sent."""
    wanted = headers.get(b"access-control-request-headers", b"").decode("latin-1")
    return {
        "Access-Control-Allow-Methods": ", ".join(METHODS),
        "Access-Control-Allow-Headers": wanted if _NAMES_OF_HEADERS.fullmatch(wanted) else "",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }


def _web_request(scope: HTTPScope, raw_path: str, body: bytes) -> WebRequest:
    client = scope["client"]
    return WebRequest(
        method=str(scope["method"]),
        scheme=scope["scheme"],
        path=raw_path,
        query=scope["query_string"].decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        body=body,
        client=client[0] if client else "",
    )


def _worded(trouble: Trouble) -> Answer:
    headers = dict(trouble.headers)
    status = CATALOGUE[trouble.code].status
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="penstock"'
    if status == 503:
        headers["Retry-After"] = "1"
    return _text(status, trouble.sentence, headers)


def _text(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, sentence.encode(), headers or {}, TEXT)
