"""HTTP: what people and programs outside say to an execution: messages, and the use of tokens."""

from typing import Any

import msgspec
import uuid_utils
from litestar.handlers import HTTPRouteHandler
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import CompleteWait
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.execution.messages import check_size, message_command
from penstock.domain.execution.tokens import read_token
from penstock.domain.ids import content_hash
from penstock.domain.limits import error_message_chars_max
from penstock.service.direct import Call, direct_post
from penstock.service.http import json_answer
from penstock.service.problems import Answer
from penstock.wire.json import check_json
from penstock_ingest.executions import idempotency_key
from penstock_ingest.steering import Steering, parse_body

NULL = Raw(b"null")
NOT_GIVEN = Raw(b"")


class MessageBody(msgspec.Struct, forbid_unknown_fields=True):
    """Any JSON for `ctx.receive` on this channel. The same `id` counts once; so does the Idempotency-Key header."""

    body: Any = None
    channel: str = "default"
    id: str | None = None


class MessageAnswer(msgspec.Struct, frozen=True):
    """The message is stored. `sequence` is the position in the log that shows it."""

    id: str
    sequence: str


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why somebody says no."""

    message: str = ""


class TokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """The answer that the execution waits for: any JSON as `result`, or `error` to refuse."""

    result: Any = None
    error: Refusal | None = None


class TokenAnswer(msgspec.Struct, frozen=True):
    """The token is used. `id` is the execution, `outcome` is `completed` or `rejected`."""

    id: str
    outcome: str
    sequence: str


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    body: Raw = NULL
    channel: str = "default"
    id: str | None = None


class _Token(msgspec.Struct, forbid_unknown_fields=True):
    result: Raw = NOT_GIVEN
    error: Refusal | None = None


class SignalRoutes:
    """`POST /v1/executions/{id}/messages` and `POST /v1/tokens/{token}`."""

    def __init__(self, steering: Steering, signing_key: bytes) -> None:
        self._steering = steering
        self._signing_key = signing_key

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            direct_post(
                "/v1/executions/{id}/messages", self.send, operation_id="sendMessage",
                summary="Send a message to an execution, running or not; it is kept until it is received.",
                body=MessageBody, answer=MessageAnswer, example={"channel": "default", "body": {"page": 2}},
            ),
            direct_post(
                "/v1/tokens/{token}", self.use_token, operation_id="useToken",
                summary="Complete or refuse what an execution waits for. The token is the right: no API key is needed.",
                body=TokenBody, answer=TokenAnswer, example={"result": {"approved": True}}, is_open=True,
            ),
        ]  # fmt: skip

    async def send(self, call: Call) -> Answer:
        message = parse_body(call, _Message)
        name = _message_id(message.id, idempotency_key(call))
        command = message_command(message.body, message.channel, name)
        check_json(message.body, "/body")
        handled = await self._steering.carry_out(call.value, command)
        await self._steering.tell(handled)
        return json_answer(202, MessageAnswer(name, f"x:{handled.state.sequence}"))

    async def use_token(self, call: Call) -> Answer:
        execution_id, key = read_token(self._signing_key, call.value)
        command = _completion(key, parse_body(call, _Token))
        try:
            handled = await self._steering.carry_out(execution_id, command)
        except Rejected as refusal:
            if refusal.code == "unknown_execution":
                raise Rejected("unknown_token", "The execution that waited for it is not kept any more.") from None
            raise
        await self._steering.tell(handled)
        return json_answer(202, TokenAnswer(execution_id, command.outcome, f"x:{handled.state.sequence}"))


def _completion(key: str, body: _Token) -> CompleteWait:
    if body.error is None:
        result = _checked(body.result, "/result") if bytes(body.result) else NULL
        canonical = msgspec.json.encode(msgspec.json.decode(result), order="sorted")
        source = content_hash(b"completed " + canonical)
        return CompleteWait(wait=key, outcome="completed", result=result, source=source, early=True)
    if bytes(body.result):
        raise Rejected("invalid_option", "Give `result` or `error`, not both.", pointers=[("/error", "both are given")])
    message = body.error.message
    if len(message) > error_message_chars_max:
        detail = f"`error.message` has at most {error_message_chars_max} characters."
        raise Rejected("invalid_option", detail, pointers=[("/error/message", "too long")])
    error = ErrorInfo(code="rejected", message=message or "It was refused without a reason.")
    source = content_hash(b"rejected " + message.encode())
    return CompleteWait(wait=key, outcome="rejected", error=error, source=source, early=True)


def _checked(value: Raw, pointer: str) -> Raw:
    """The same, if it is not too large, too deep or beyond 64 bits. Raises Rejected."""
    check_size(value, pointer)
    check_json(value, pointer)
    return value


def _message_id(given: str | None, key: str | None) -> str:
    if given is not None and key is not None and given != key:
        detail = "The Idempotency-Key header and `id` differ."
        raise Rejected("invalid_option", detail, pointers=[("/id", "not the key of the header")])
    if given is None and key is None:
        return str(uuid_utils.uuid7().hex)
    return given or key or ""
