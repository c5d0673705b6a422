"""A message of EVENTS as the event that it is: a CloudEvent in structured or binary mode, or bare JSON as its data."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.limits import event_bytes_max
from penstock.wire import cloudevents as ce
from penstock.wire.json import check_json


class Message(Protocol):
    """A stored message. `headers` have lower-case names; `received_at` is when the server stored it (µs)."""

    @property
    def sequence(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def data(self) -> bytes: ...
    @property
    def received_at(self) -> int: ...


def event_of(name: str, message: Message, stream: str) -> tuple[ce.Event, str]:
    """The event published under this name, and what makes it the same one when it is published again.

    Raises Rejected for a message that is none.
    """
    headers = message.headers
    kind = ce.media_type(headers.get("content-type"))
    if kind.startswith(ce.CLOUDEVENTS):
        if kind != ce.STRUCTURED:
            raise Rejected("unsupported_media_type", f"Only {ce.STRUCTURED} is taken, not {kind[:80]!r}.")
        event = ce.parse_structured(message.data)
    elif ce.is_binary_mode(headers):
        event = ce.parse_nats_binary(headers, message.data)
    else:
        return _bare(name, message, stream), position_identity(message)
    if event.name != name:
        raise Rejected(
            "invalid_event",
            f"The CloudEvent's type {event.name!r} is not the name in the subject, {name[:200]!r}.",
            pointers=[("/type", "not the subject")],
        )
    return event, f"event:{len(event.source)}:{event.source}#{event.id}"


def check_event_size(headers: Mapping[str, str], data: bytes) -> None:
    """Raises Rejected `payload_too_large`; headers count as they travel on NATS."""
    size = len(data) + sum(len(name) + len(value) + 4 for name, value in headers.items())
    if size > event_bytes_max:
        raise Rejected(
            "payload_too_large",
            f"The event has {size} bytes with its headers; at most {event_bytes_max} are taken.",
            limit=event_bytes_max,
        )


def position_id(message: Message) -> str:
    """What tells a message without an id from all others; the time also tells it from one of a stream made anew."""
    return f"{message.sequence}-{message.received_at}"


def position_identity(message: Message) -> str:
    return f"sequence:{position_id(message)}"


def _bare(name: str, message: Message, stream: str) -> ce.Event:
    check_json(message.data, "")
    return ce.check_event(
        ce.Event(
            id=position_id(message),
            source=f"nats:{stream}",
            name=name,
            time=ce.instant(message.received_at),
            data=Raw(message.data),
            datacontenttype=ce.JSON,
        )
    )
