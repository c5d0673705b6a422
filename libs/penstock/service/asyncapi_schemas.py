"""JSON schemas of the messages on NATS: of our structs as they are decoded and sent, and of what others define."""

from typing import Any

import msgspec

from penstock.domain.function.options import CallOptions
from penstock.domain.ids import EVENT_NAME, EXECUTION_ID
from penstock.domain.limits import (
    event_bytes_max,
    event_id_chars_max,
    event_source_chars_max,
    idempotency_key_chars_max,
)
from penstock.wire import cloudevents as ce
from penstock.wire import names as wire
from penstock.wire.calls import ExecutionRequest
from penstock.wire.notification import Notification

REFERENCE = "#/components/schemas/{name}"

Schema = dict[str, Any]


def schemas() -> dict[str, Schema]:
    """Name -> schema."""
    _, made = msgspec.json.schema_components([CallOptions, Notification], ref_template=REFERENCE)
    return {**made, "ExecutionRequest": _request(), **_written_schemas()}


def _request() -> Schema:
    """Arguments are kept as they came; what they have to be is checked with the function's parameters."""
    known: dict[str, Schema] = {
        "args": {"type": "array", "default": [], "description": "Arguments by position."},
        "kwargs": {"type": "object", "default": {}, "description": "Arguments by name."},
        "options": {"$ref": REFERENCE.format(name=CallOptions.__name__)},
    }
    fields = [field.name for field in msgspec.structs.fields(ExecutionRequest)]
    return {
        "type": "object",
        "description": "What to call a function with.",
        "properties": {name: known[name] for name in fields},
        "additionalProperties": False,
    }


def _written_schemas() -> dict[str, Schema]:
    """Of what no struct of ours decodes: headers, CloudEvents of others, and the server's acknowledgements."""
    text = {"type": "string"}
    identity = {
        "id": {**text, "minLength": 1, "maxLength": event_id_chars_max},
        "source": {**text, "minLength": 1, "maxLength": event_source_chars_max, "format": "uri-reference"},
        "type": {**text, "pattern": _whole(EVENT_NAME.pattern), "description": "The name in the subject."},
        "specversion": {**text, "const": ce.SPECVERSION},
    }
    others = {
        "time": {**text, "format": "date-time"},
        "subject": text,
        "datacontenttype": text,
        "dataschema": {**text, "format": "uri"},
        wire.TRACEPARENT: text,
        wire.TRACESTATE: text,
        wire.BAGGAGE: text,
    }
    return {
        "CloudEvent": {
            "type": "object",
            "description": f"CloudEvents 1.0. Extensions are kept. At most {event_bytes_max} bytes with its headers.",
            "properties": {
                **identity, **others, "data": {"description": "Any JSON."},
                "data_base64": {**text, "contentEncoding": "base64"},
            },
            "required": list(identity),
            "not": {"required": ["data", "data_base64"]},
        },
        "CloudEventHeaders": {
            "type": "object",
            "description": "Values are percent-encoded as the CloudEvents binding for NATS says.",
            "properties": {f"ce-{name}": schema for name, schema in (identity | others).items()},
            "required": [f"ce-{name}" for name in identity],
        },
        "PublishHeaders": {"type": "object", "properties": _publish_headers()},
        "CallHeaders": {
            "type": "object",
            "properties": {
                wire.EXECUTION_ID: {
                    **text,
                    "pattern": _whole(EXECUTION_ID.pattern),
                    "description": "The id of the execution, if the caller wants to know it before the answer.",
                }
            },
        },
        "Stored": {
            "type": "object",
            "properties": {"stream": text, "seq": {"type": "integer", "minimum": 1}, "duplicate": {"type": "boolean"}},
            "required": ["stream", "seq"],
        },
        "NotStored": {
            "type": "object",
            "properties": {
                "error": {
                    "type": "object",
                    "properties": {"code": {"type": "integer"}, "err_code": {"type": "integer"}, "description": text},
                    "required": ["code"],
                }
            },
            "required": ["error"],
        },
    }  # fmt: skip


def _publish_headers() -> Schema:
    key: Schema = {"type": "string", "minLength": 1, "maxLength": idempotency_key_chars_max}
    return {
        wire.CONTENT_TYPE: {"type": "string", "description": f"`{ce.STRUCTURED}` for a structured CloudEvent."},
        wire.IDEMPOTENCY_KEY: {**key, "description": "The same key means the same execution, of each function."},
        wire.MSG_ID: {
            **key,
            "description": f"Taken as the key where {wire.IDEMPOTENCY_KEY} is missing; it has to be unique over all"
            " subjects then, since the server's own check is per stream.",
        },
        wire.TRACEPARENT: {
            "type": "string",
            "description": "W3C trace context, in which what runs at once goes on.",
        },
        wire.TRACESTATE: {"type": "string", "description": "W3C trace context: what vendors add to it."},
        wire.BAGGAGE: {"type": "string", "description": "W3C baggage; it goes along to user code and to children."},
    }


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"
