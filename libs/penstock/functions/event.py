"""The event that started an execution, as a function sees it."""

import base64
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened outside.

    `time` is RFC 3339. `data` is the decoded JSON; of an event that is not JSON it is bytes, of the media type
    `datacontenttype`. `extensions` are the further attributes of a CloudEvent.
    """

    id: str
    name: str
    source: str = ""
    time: str | None = None
    subject: str | None = None
    data: Any = None
    datacontenttype: str | None = None
    extensions: dict[str, Any] = {}


# CloudEvents attributes that have a field of their own, or say only how `data` was encoded.
_OWN = frozenset({"id", "name", "type", "source", "time", "subject", "data", "extensions"})
_ENCODING = frozenset({"specversion", "datacontenttype", "dataschema", "data_base64"})

_decoder = msgspec.json.Decoder(dict[str, Any])


def decode_event(data: bytes | msgspec.Raw) -> Event:
    """The event from its JSON, in our own form (`name`) or as a CloudEvent (`type`, extensions beside the rest)."""
    raw = _decoder.decode(data)
    extensions = dict(raw.get("extensions") or {})
    extensions.update({key: value for key, value in raw.items() if key not in _OWN and key not in _ENCODING})
    return Event(
        id=str(raw.get("id", "")),
        name=str(raw.get("name") or raw.get("type") or ""),
        source=str(raw.get("source") or ""),
        time=raw.get("time"),
        subject=raw.get("subject"),
        data=base64.b64decode(raw["data_base64"]) if "data_base64" in raw else raw.get("data"),
        datacontenttype=raw.get("datacontenttype"),
        extensions=extensions,
    )
