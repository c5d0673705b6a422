"""The event that started an execution, as a function sees it."""

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened outside. `time` is RFC 3339; `extensions` are the further attributes of a CloudEvent."""

    id: str
    name: str
    source: str = ""
    time: str | None = None
    subject: str | None = None
    data: Any = None
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
        data=raw.get("data"),
        extensions=extensions,
    )
