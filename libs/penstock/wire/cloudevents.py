"""CloudEvents 1.0 over HTTP and NATS, and the shorter forms `{"name","data"}` and bare JSON.

The two bindings differ: in binary mode HTTP names the data's media type in `Content-Type`, NATS in
`ce-datacontenttype`. Header values are percent-encoded in both. Identity of an event is `source` with `id`.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.ids import is_event_name
from penstock.domain.limits import event_id_chars_max, event_source_chars_max
from penstock.wire.json import check_json, decode_fields

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
CLOUDEVENTS = "application/cloudevents"
JSON = "application/json"
SPECVERSION = "1.0"

_ATTRIBUTE = re.compile(r"[a-z0-9]{1,40}")
_NO_URI = re.compile(r"[\x00-\x20\x7f<>\"{}|\\^`]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TEXT_ATTRIBUTES = ("id", "source", "type", "time", "subject", "datacontenttype", "dataschema")
_REQUIRED = ("id", "source", "type", "specversion")
_HEADER_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')

Attribute = str | bool | int


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event. `name` is the CloudEvent's `type`; `data` is JSON, anything else travels in `data_base64`.

    Its JSON is what functions are handed (`encode_event`).
    """

    id: str
    source: str
    name: str
    time: str | None = None
    subject: str | None = None
    data: Raw = Raw(b"null")
    data_base64: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: dict[str, Attribute] = {}
    traceparent: str | None = None
    """The trace of the event's origin (the CloudEvents extension), not of the hop that brought it here."""


def encode_event(event: Event) -> Raw:
    """The event as functions get it."""
    return Raw(msgspec.json.encode(event))


def media_type(content_type: str | None) -> str:
    """The media type without parameters, in lower case; empty if there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    return kind == JSON or kind.endswith("+json") or kind == "text/json"


def is_binary_mode(headers: Mapping[str, str]) -> bool:
    """True if any of the required `ce-` headers is there. Names must be in lower case."""
    return any(f"ce-{name}" in headers for name in _REQUIRED)


# Structured mode, the same for both transports.


def parse_structured(body: bytes) -> Event:
    """The event of one JSON object. Raises Rejected `invalid_json`, `invalid_event`, `invalid_name` or `too_deep`."""
    fields = decode_fields(body, "invalid_event", "A CloudEvent is a JSON object.")
    return _from_fields(fields)


def parse_batch(body: bytes) -> list[bytes]:
    """The JSON of each event of a batch, not yet looked at: each gets its own verdict."""
    try:
        return [bytes(item) for item in msgspec.json.decode(body, type=list[Raw])]
    except msgspec.ValidationError:
        raise Rejected("invalid_event", "A batch of CloudEvents is a JSON array.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected("invalid_json", f"The body is not valid JSON: {error}.") from None


def _from_fields(fields: dict[str, Raw]) -> Event:
    data, encoded = fields.pop("data", None), fields.pop("data_base64", None)
    if data is not None and encoded is not None:
        raise _invalid("A CloudEvent has `data` or `data_base64`, not both.", "data_base64")
    attributes: dict[str, Any] = {}
    for name, raw in fields.items():
        value = check_json(raw, f"/{name[:80]}")
        # null and absent mean the same in the JSON format.
        if value is not None:
            attributes[name] = value
    kind = attributes.get("datacontenttype")
    if data is not None:
        check_json(data, "/data")
        return _event(attributes, data=data)
    if encoded is not None:
        content = _decode_base64(check_json(encoded, "/data_base64"))
        if isinstance(kind, str) and is_json(media_type(kind)):
            check_json(content, "/data_base64")
            return _event(attributes, data=Raw(content))
        return _event(attributes, data_base64=b64encode(content).decode())
    return _event(attributes)


def _decode_base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise _invalid("`data_base64` must be a string.", "data_base64")
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("`data_base64` is not valid base64.", "data_base64") from None


# Binary mode.


def parse_http_binary(headers: Mapping[str, str], body: bytes) -> Event:
    """The event of `ce-` headers and a raw body; its media type is the `content-type` header."""
    if "ce-datacontenttype" in headers:
        raise _invalid("Over HTTP the data's media type is the Content-Type header, not ce-datacontenttype.", "")
    return _from_binary(headers, headers.get("content-type"), body)


def parse_nats_binary(headers: Mapping[str, str], body: bytes) -> Event:
    """The event of `ce-` headers and a raw payload; its media type is the `ce-datacontenttype` header."""
    kind = headers.get("ce-datacontenttype")
    return _from_binary(headers, None if kind is None else decode_header(kind), body)


def _from_binary(headers: Mapping[str, str], kind: str | None, body: bytes) -> Event:
    attributes: dict[str, Any] = {}
    for name, value in headers.items():
        if name.startswith("ce-") and name != "ce-datacontenttype":
            attributes[name[3:]] = decode_header(value)
    if kind is not None:
        attributes["datacontenttype"] = kind
    if not body:
        return _event(attributes)
    if kind is None or is_json(media_type(kind)):
        check_json(body, "/data")
        return _event(attributes, data=Raw(body))
    return _event(attributes, data_base64=b64encode(body).decode())


def decode_header(value: str) -> str:
    """A header value with its percent-encoding undone, once."""
    text = value[1:-1].replace('\\"', '"').replace("\\\\", "\\") if _is_quoted(value) else value
    if "%" not in text:
        return text
    if _BAD_PERCENT.search(text):
        raise _invalid(f"The header value {text[:80]!r} has a % that encodes nothing.", "")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _invalid(f"The header value {text[:80]!r} does not decode to UTF-8.", "") from None


def encode_header(value: str) -> str:
    """A header value as both bindings want it: all outside U+0021 to U+007E, and `"` and `%`, percent-encoded."""
    return quote(value, safe=_HEADER_SAFE)


def _is_quoted(value: str) -> bool:
    return len(value) >= 2 and value[0] == value[-1] == '"'


# Both modes meet here.


def _event(attributes: dict[str, Any], data: Raw | None = None, data_base64: str | None = None) -> Event:
    missing = [name for name in _REQUIRED if name not in attributes or attributes[name] == ""]
    if missing:
        raise _invalid(f"The CloudEvent has no `{missing[0]}`.", missing[0])
    if attributes.pop("specversion") != SPECVERSION:
        raise _invalid('The `specversion` must be "1.0".', "specversion")
    known: dict[str, Any] = {name: attributes.pop(name) for name in _TEXT_ATTRIBUTES if name in attributes}
    for name, value in known.items():
        if not isinstance(value, str) or not value:
            raise _invalid(f"`{name}` must be a string that is not empty.", name)
    traceparent = attributes.pop("traceparent", None)
    return check_event(
        Event(
            id=known["id"],
            source=known["source"],
            name=known["type"],
            time=known.get("time"),
            subject=known.get("subject"),
            data=data if data is not None else Raw(b"null"),
            data_base64=data_base64,
            datacontenttype=known.get("datacontenttype"),
            dataschema=known.get("dataschema"),
            extensions=_extensions(attributes),
            traceparent=traceparent if isinstance(traceparent, str) else None,
        )
    )


def check_event(event: Event, name_pointer: str = "/type") -> Event:
    """The same event if its attributes are within their rules and limits; the short form has `/name`, not `/type`."""
    if not is_event_name(event.name):
        raise Rejected(
            "invalid_name",
            f"{event.name[:80]!r} is no event name: 1 to 8 tokens of A-Z a-z 0-9 _ - joined by dots.",
            pointers=[(name_pointer, "not an event name")],
        )
    texts = {"id": event.id, "subject": event.subject, **event.extensions}
    for attribute, value in texts.items():
        if isinstance(value, str) and _CONTROL.search(value):
            raise _invalid(f"`{attribute}` holds a control character.", attribute)
    if len(event.id) > event_id_chars_max:
        raise _invalid(f"`id` is longer than {event_id_chars_max} characters.", "id")
    if len(event.source) > event_source_chars_max:
        raise _invalid(f"`source` is longer than {event_source_chars_max} characters.", "source")
    if _NO_URI.search(event.source) or _BAD_PERCENT.search(event.source):
        raise _invalid("`source` must be a URI reference.", "source")
    if event.time is not None:
        _check_time(event.time)
    return event


def _check_time(text: str) -> None:
    try:
        instant = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise _invalid(f"`time` must be an RFC 3339 instant, not {text[:80]!r}.", "time")


def _extensions(attributes: dict[str, Any]) -> dict[str, Attribute]:
    for name, value in attributes.items():
        if not _ATTRIBUTE.fullmatch(name):
            raise _invalid(f"{name[:80]!r} is no attribute name: lower-case letters and digits only.", name[:80])
        if not isinstance(value, str | bool | int) or (
            isinstance(value, int) and not isinstance(value, bool) and not -(2**31) <= value < 2**31
        ):
            raise _invalid(f"`{name}` must be a string, a boolean or a 32-bit integer.", name)
    return attributes


def _invalid(detail: str, field: str) -> Rejected:
    return Rejected("invalid_event", detail, pointers=[(f"/{field}", "at fault")] if field else None)


# Writing.


def write_structured(event: Event) -> bytes:
    """The event as one JSON object in structured mode."""
    fields: dict[str, Any] = {"specversion": SPECVERSION, "id": event.id, "source": event.source, "type": event.name}
    for name in ("time", "subject", "datacontenttype", "dataschema", "traceparent"):
        value = getattr(event, name)
        if value is not None:
            fields[name] = value
    fields.update(event.extensions)
    if event.data_base64 is not None:
        fields["data_base64"] = event.data_base64
    elif bytes(event.data) != b"null":
        fields["data"] = event.data
    return msgspec.json.encode(fields)


def instant(at: int) -> str:
    """Microseconds since the epoch as RFC 3339."""
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
