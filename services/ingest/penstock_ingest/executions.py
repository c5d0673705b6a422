"""HTTP: starting executions, one or a batch."""

import re
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.create import Origin
from penstock.domain.function.options import CallOptions
from penstock.domain.limits import batch_items_max
from penstock.domain.trace import Carried, carried
from penstock.ports import Unavailable
from penstock.service.direct import Call, direct_post
from penstock.service.http import json_answer
from penstock.service.problems import Answer, rejected_members, unavailable_members
from penstock.wire.cloudevents import is_json, media_type
from penstock_ingest.accept import Accepted, Acceptor, Verdict, breathe
from penstock_ingest.drafts import Draft, Drafter, decode_strictly, parse_request

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


class ExecutionBody(msgspec.Struct):
    """Arguments of the function by position and by name, and options of this call."""

    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    options: CallOptions = CallOptions()


class ExecutionBatch(msgspec.Struct):
    """Up to 1,000 calls of one function."""

    items: list[ExecutionBody]


class BatchAnswer(msgspec.Struct):
    """One verdict for each item, in order: an execution with status 202, or a problem."""

    data: list[dict[str, Any]]


class _Items(msgspec.Struct, forbid_unknown_fields=True):
    items: list[Raw]


_items_decoder = msgspec.json.Decoder(_Items)


class ExecutionRoutes:
    """`POST /v1/functions/{name}/executions` and `.../batch`."""

    def __init__(self, drafter: Drafter, acceptor: Acceptor) -> None:
        self._drafter = drafter
        self._acceptor = acceptor

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            direct_post(
                "/v1/functions/{name}/executions",
                self.start,
                operation_id="startExecution",
                summary="Start an execution; the answer comes when it is durable.",
                body=ExecutionBody,
                answer=Accepted,
                example={"args": [1, 2], "kwargs": {}, "options": {"delay": "10m"}},
            ),
            direct_post(
                "/v1/functions/{name}/executions/batch",
                self.start_many,
                operation_id="startExecutions",
                summary="Start up to 1,000 executions of one function, with one verdict each.",
                body=ExecutionBatch,
                answer=BatchAnswer,
                status=207,
                example={"items": [{"args": [1, 2]}, {"args": [3, 4]}]},
            ),
        ]

    async def start(self, call: Call) -> Answer:
        require_json(call)
        spec = self._drafter.function(call.value)
        request = parse_request(call.body)
        origin = Origin(carried=carried_by(call))
        accepted = await self._acceptor.accept(self._drafter.draft(spec, request, origin, idempotency_key(call)))
        return accepted_answer(accepted)

    async def start_many(self, call: Call) -> Answer:
        require_json(call)
        spec = self._drafter.function(call.value)
        if idempotency_key(call) is not None:
            raise Rejected("invalid_option", "In a batch each item has its own key: use `options.idempotency_key`.")
        items: list[Raw] = decode_strictly(_items_decoder, call.body).items
        if len(items) > batch_items_max:
            raise Rejected("payload_too_large", f"A batch has at most {batch_items_max} items.", limit=batch_items_max)
        origin = Origin(carried=carried_by(call))
        drafts: list[Draft | Rejected] = []
        for count, item in enumerate(items):
            await breathe(count)
            try:
                drafts.append(self._drafter.draft(spec, parse_request(bytes(item)), origin))
            except Rejected as refusal:
                drafts.append(refusal)
        verdicts = iter(await self._acceptor.accept_many([each for each in drafts if isinstance(each, Draft)]))
        data = [verdict_json(each if isinstance(each, Rejected) else next(verdicts)) for each in drafts]
        return json_answer(207, {"data": data})


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """One item of a batch answer."""
    if isinstance(verdict, Rejected):
        return rejected_members(verdict)
    if isinstance(verdict, Unavailable):
        return unavailable_members()
    return {"status": 202, **msgspec.to_builtins(verdict)}


def accepted_answer(accepted: Accepted) -> Answer:
    """202 with the address of the execution."""
    return json_answer(202, accepted, {"Location": f"/v1/executions/{accepted.id}"})


def carried_by(call: Call) -> Carried:
    """The trace that a request belongs to."""
    return carried(call.header(b"traceparent"), call.header(b"tracestate"), call.header(b"baggage"))


def require_json(call: Call) -> None:
    """Raises Rejected `unsupported_media_type` for a body that says it is something else than JSON."""
    given = call.headers.get(b"content-type")
    if given is None or given == b"application/json" or is_json(media_type(given.decode("latin-1"))):
        return
    raise Rejected("unsupported_media_type", f"This address takes JSON, not {given.decode('latin-1')[:80]!r}.")


def idempotency_key(call: Call) -> str | None:
    """The Idempotency-Key header: a quoted string as the draft standard has it, or a bare token."""
    given = call.header(b"idempotency-key")
    if given is None:
        return None
    text = given.strip()
    if not text.startswith('"'):
        return text
    quoted = _QUOTED.fullmatch(text)
    if quoted is None:
        raise Rejected("invalid_option", 'The Idempotency-Key header is not of the form "key" or key.')
    return re.sub(r"\\(.)", r"\1", quoted[1])
