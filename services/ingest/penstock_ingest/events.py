"""HTTP: taking events in; their fan-out follows from the stream."""

from collections.abc import Mapping
from typing import Any

import msgspec
import uuid_utils
from litestar.handlers import HTTPRouteHandler

from penstock.domain.errors import Rejected
from penstock.domain.function.options import CallOptions, resolve
from penstock.domain.limits import batch_items_max
from penstock.jetstream.publisher import PubAck, Publisher
from penstock.ports import Clock, Unavailable
from penstock.service.direct import Call, direct_post
from penstock.service.http import json_answer
from penstock.service.problems import Answer, rejected_members, unavailable_members
from penstock.wire import cloudevents as ce
from penstock.wire import names as wire
from penstock.wire.json import check_json, decode_fields
from penstock.wire.names import Names
from penstock.wire.published import check_event_size
from penstock.wire.traces import trace_headers
from penstock_ingest.executions import carried_by, idempotency_key

HTTP_SOURCE = "/v1/events"
"""The source of an event that names none."""

_SIMPLE = frozenset({"name", "data"})


class EventBody(msgspec.Struct):
    """The short form of an event; or send a CloudEvent: structured, binary or a batch."""

    name: str
    data: Any = None


class EventAccepted(msgspec.Struct):
    """An event that is durable: the id under which it is listed, and its position."""

    id: str
    sequence: str


class EventRoutes:
    """`POST /v1/events`."""

    def __init__(self, names: Names, publisher: Publisher, clock: Clock) -> None:
        self._names = names
        self._publisher = publisher
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            direct_post(
                "/v1/events",
                self.publish,
                operation_id="publishEvent",
                summary="Publish one event or a batch of CloudEvents; functions that subscribe to it are started.",
                body=EventBody,
                answer=EventAccepted,
                media_types=("application/json", ce.STRUCTURED, ce.BATCH),
                example={"name": "user.signup", "data": {"plan": "pro"}},
            )
        ]

    async def publish(self, call: Call) -> Answer:
        kind = ce.media_type(call.header(b"content-type"))
        if kind == ce.BATCH:
            return await self._publish_batch(call)
        event = self._parse(kind, call)
        sequence = (await self._send(event, call)).seq
        return json_answer(202, self._accepted(event, sequence))

    def _parse(self, kind: str, call: Call) -> ce.Event:
        if kind == ce.STRUCTURED:
            return ce.parse_structured(call.body)
        if kind.startswith(ce.CLOUDEVENTS):
            raise Rejected("unsupported_media_type", f"CloudEvents are taken as JSON, not as {kind[:80]!r}.")
        headers = text_headers(call.headers)
        if ce.is_binary_mode(headers):
            return ce.parse_http_binary(headers, call.body)
        if kind and not ce.is_json(kind):
            raise Rejected("unsupported_media_type", f"An event is JSON or a CloudEvent, not {kind[:80]!r}.")
        return self._parse_object(call.body)

    def _parse_object(self, body: bytes) -> ce.Event:
        """The short form, or a structured CloudEvent that is labelled as plain JSON."""
        fields = decode_fields(
            body, "invalid_event", 'An event is an object such as {"name": "user.signup", "data": {}}.'
        )
        if "specversion" in fields:
            return ce.parse_structured(body)
        for field in fields:
            if field not in _SIMPLE:
                raise Rejected(
                    "invalid_event",
                    f"The short form has `name` and `data` only, not {field[:80]!r}. Send a CloudEvent for more.",
                    pointers=[(f"/{field[:80]}", "unknown")],
                )
        name = check_json(fields["name"], "/name") if "name" in fields else None
        if not isinstance(name, str):
            raise Rejected("invalid_event", "The event needs a `name`.", pointers=[("/name", "not a string")])
        event = ce.Event(
            id=str(uuid_utils.uuid7()),
            source=HTTP_SOURCE,
            name=name,
            time=ce.instant(self._clock()),
        )
        if "data" in fields:
            check_json(fields["data"], "/data")
            event = msgspec.structs.replace(event, data=fields["data"])
        return ce.check_event(event, "/name")

    async def _publish_batch(self, call: Call) -> Answer:
        bodies = ce.parse_batch(call.body)
        if len(bodies) > batch_items_max:
            raise Rejected("payload_too_large", f"A batch has at most {batch_items_max} events.", limit=batch_items_max)
        if idempotency_key(call) is not None:
            raise Rejected("invalid_option", "A batch has no Idempotency-Key: source and id of each event are its key.")
        sent: list[tuple[ce.Event, Any] | Rejected] = []
        for body in bodies:
            try:
                event = ce.parse_structured(body)
                sent.append((event, await self._start(event, call)))
            except Rejected as refusal:
                sent.append(refusal)
        data, all_well = [], True
        for each in sent:
            item = rejected_members(each) if isinstance(each, Rejected) else await self._outcome(*each)
            all_well = all_well and "code" not in item
            data.append(item)
        if not all_well:
            data = [item if "code" in item else {"status": 202, **item} for item in data]
        return json_answer(202 if all_well else 207, {"data": data})

    async def _outcome(self, event: ce.Event, answer: Any) -> dict[str, Any]:
        try:
            ack: PubAck = await answer
        except Unavailable:
            return unavailable_members()
        accepted: dict[str, Any] = msgspec.to_builtins(self._accepted(event, ack.seq))
        return accepted

    async def _send(self, event: ce.Event, call: Call) -> PubAck:
        ack: PubAck = await (await self._start(event, call))
        return ack

    async def _start(self, event: ce.Event, call: Call) -> Any:
        """Put the event on the wire; the future holds the acknowledgement."""
        headers = {wire.CONTENT_TYPE: ce.STRUCTURED}
        key = idempotency_key(call)
        if key is not None:
            resolve(CallOptions(idempotency_key=key), 0)
            headers[wire.IDEMPOTENCY_KEY] = key
        headers |= trace_headers(carried_by(call))
        data = ce.write_structured(event)
        check_event_size(headers, data)
        return await self._publisher.send(self._names.event_subject(event.name), data, headers)

    def _accepted(self, event: ce.Event, sequence: int) -> EventAccepted:
        return EventAccepted(event.id, f"e:{sequence}")


def text_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """HTTP headers as text."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
