"""What a message in EVENTS asks for: the executions it starts, decided without storing anything."""

from typing import NamedTuple

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.execution.create import EMPTY_ARGS, EMPTY_KWARGS, Origin, enqueued
from penstock.domain.function.match import subscribers
from penstock.domain.function.options import CallOptions, FunctionSpec, resolve
from penstock.domain.ids import (
    content_hash,
    event_execution_id,
    event_record_id,
    is_execution_id,
)
from penstock.domain.limits import fan_out_functions_max, payload_inline_bytes_max
from penstock.domain.trace import Carried, carried
from penstock.jetstream.inbox import Published
from penstock.jetstream.registry import FunctionRegistry
from penstock.ports import Clock
from penstock.wire import cloudevents as ce
from penstock.wire import names as wire
from penstock.wire.names import Names
from penstock.wire.published import check_event_size, event_of, position_id, position_identity
from penstock_ingest.drafts import Draft, Drafter, parse_request
from penstock_ingest.filters import holds, variables

_KEY = wire.IDEMPOTENCY_KEY.lower()
_MSG_ID = wire.MSG_ID.lower()
_EXECUTION_ID = wire.EXECUTION_ID.lower()


class Plan(NamedTuple):
    """One message understood: what to start, and what is told about it afterwards."""

    name: str
    source: str
    event_id: str
    trace_id: str | None
    drafts: list[Draft]
    refused: list[tuple[str, str, str]]
    is_call: bool
    """One function was asked for: its refusal is a refusal of the message."""


class Planner:
    """Reads messages of both NATS doors."""

    def __init__(self, names: Names, registry: FunctionRegistry, drafter: Drafter, clock: Clock) -> None:
        self._names = names
        self._registry = registry
        self._drafter = drafter
        self._clock = clock

    def plan(self, message: Published) -> Plan:
        """Raises Rejected for a message that can never be accepted."""
        parsed = self._names.parse_event_subject(message.subject)
        if parsed is None:
            raise Rejected("invalid_name", f"{message.subject[:200]!r} is no subject of ours.")
        check_event_size(message.headers, message.data)
        door, name = parsed
        key = message.headers.get(_KEY) or message.headers.get(_MSG_ID)
        if key is not None:
            resolve(CallOptions(idempotency_key=key), 0)
        return self._call(name, message, key) if door == "invoke" else self._event(name, message, key)

    # invoke.<function>

    def _call(self, name: str, message: Published, key: str | None) -> Plan:
        spec = self._drafter.function(name)
        request = parse_request(message.data)
        chosen = message.headers.get(_EXECUTION_ID)
        if chosen is not None and not is_execution_id(chosen):
            raise Rejected("invalid_option", f"{wire.EXECUTION_ID} must be 32 hex digits, not {chosen[:80]!r}.")
        if chosen is None and key is None and request.options.idempotency_key is None:
            # Derived, so that a redelivery means the same execution.
            chosen = event_execution_id(self._names.environment, position_identity(message), name)
        draft = self._drafter.draft(spec, request, Origin(carried=_carried(message)), key, chosen)
        return Plan(
            name=name,
            source="invoke",
            event_id=position_id(message),
            trace_id=draft.fact.trace_id,
            drafts=[draft],
            refused=[],
            is_call=True,
        )

    # events.<name>

    def _event(self, name: str, message: Published, key: str | None) -> Plan:
        event, identity = event_of(name, message, self._names.events)
        if key is not None:
            identity = f"key:{key}"
        found = _carried(message, event)
        refused: list[tuple[str, str, str]] = []
        chosen = self._chosen(event, refused)
        drafts = [self._start(spec, event, identity, found) for spec in chosen]
        return Plan(
            name=event.name,
            source=event.source,
            event_id=event.id,
            trace_id=found.caller.trace_id if found.caller is not None else None,
            drafts=drafts,
            refused=refused,
            is_call=False,
        )

    def _chosen(self, event: ce.Event, refused: list[tuple[str, str, str]]) -> list[FunctionSpec]:
        found = subscribers(self._registry.all(), event.name)
        seen: dict[str, object] | None = None
        chosen: list[FunctionSpec] = []
        for spec in found:
            if spec.when is not None:
                seen = seen or variables(event)
                try:
                    if not holds(spec.when, seen):
                        continue
                except Rejected as refusal:
                    refused.append((spec.name, refusal.code, refusal.detail))
                    continue
            if len(chosen) >= fan_out_functions_max:
                sentence = f"One event starts at most {fan_out_functions_max} functions."
                refused.append((spec.name, "invalid_option", sentence))
                continue
            chosen.append(spec)
        return chosen

    def _start(self, spec: FunctionSpec, event: ce.Event, identity: str, found: Carried) -> Draft:
        now = self._clock()
        execution_id = event_execution_id(self._names.environment, identity, spec.name)
        options = resolve(CallOptions(), now)
        encoded = ce.encode_event(event)
        if len(bytes(encoded)) <= payload_inline_bytes_max:
            origin = Origin(carried=found, event=encoded, event_id=event.id)
            fact = enqueued(execution_id, spec.name, EMPTY_ARGS, EMPTY_KWARGS, options, now, origin)
            return Draft(execution_id, fact)
        # All subscribers share one stored copy; what counts as its content is the same as for small events.
        digest = content_hash(msgspec.json.encode([event.name, bytes(event.data).decode(), event.data_base64]))
        origin = Origin(carried=found, event_id=event.id)
        record = event_record_id(self._names.environment, event.source, event.id)
        ref = f"event-{record}-{digest}"
        fact = enqueued(execution_id, spec.name, EMPTY_ARGS, EMPTY_KWARGS, options, now, origin, ref)
        return Draft(execution_id, fact, b'{"args":[],"kwargs":{},"event":' + bytes(encoded) + b"}")


def _carried(message: Published, event: ce.Event | None = None) -> Carried:
    """The trace of the hop that brought the message here, else that of the event's origin."""
    headers = message.headers
    found = carried(headers.get(wire.TRACEPARENT), headers.get(wire.TRACESTATE), headers.get(wire.BAGGAGE))
    if event is None:
        return found
    states = (event.extensions.get(name) for name in (wire.TRACESTATE, wire.BAGGAGE))
    origin = carried(event.traceparent, *(state if isinstance(state, str) else None for state in states))
    if found.caller is None:
        return origin._replace(baggage=found.baggage or origin.baggage)
    return found if found.baggage else found._replace(baggage=origin.baggage)
