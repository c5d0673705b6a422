"""The delivery log in the view: rows after a batch, and what readers see of them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from penstock.domain.notify.delivery import Delivery, evolve
from penstock.domain.system import AnySystemFact
from penstock_query.shapes import ErrorShape, error_shape, rfc3339

STATES = ("due", "retrying", "sent", "dead")

Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
decode_delivery = msgspec.json.Decoder(Delivery).decode


class DeliveryFact(NamedTuple):
    """One fact of a delivery on its way into the view; `key` is its channel and its notification."""

    sequence: int
    key: str
    fact: AnySystemFact


def delivery_key(channel: str, notification: str) -> str:
    return f"{channel}.{notification}"


def delivery_rows(facts: Iterable[DeliveryFact], known: Mapping[str, Delivery]) -> list[Row]:
    """Rows of deliveries; facts of one whose first is missing are left out."""
    touched: dict[str, Delivery] = {}
    for sequence, key, fact in facts:
        before = touched.get(key) or known.get(key)
        if before is not None and sequence <= before.sequence:
            continue
        after = evolve(before, fact, sequence)
        if after is not None:
            touched[key] = after
    return [_row(key, each) for key, each in touched.items()]


def _row(key: str, delivery: Delivery) -> Row:
    notice = delivery.notice
    body = _encode(delivery).decode()
    return (
        key, delivery.due_sequence, notice.id, delivery.channel, notice.rule, delivery.state, notice.function,
        notice.execution_id, body,
    )  # fmt: skip


class AttemptToDeliver(msgspec.Struct, frozen=True, kw_only=True):
    """One try; `detail` is what the receiver said."""

    at: str
    ok: bool
    detail: str


class NotificationShape(msgspec.Struct, frozen=True, kw_only=True):
    """One notification to one channel. Its state is due, retrying, sent or dead."""

    id: str
    channel: str
    rule: str
    about: str
    state: str
    text: str
    function: str | None
    schedule: str | None
    execution_id: str | None
    error: ErrorShape | None
    incident: str | None
    count: int
    over: bool
    attempts: list[AttemptToDeliver]
    next_attempt_at: str | None
    created_at: str
    updated_at: str
    sequence: str


def notification_shape(delivery: Delivery) -> NotificationShape:
    notice = delivery.notice
    return NotificationShape(
        id=notice.id,
        channel=delivery.channel,
        rule=notice.rule,
        about=notice.about,
        state=delivery.state,
        text=notice.text,
        function=notice.function or None,
        schedule=notice.schedule or None,
        execution_id=notice.execution_id or None,
        error=error_shape(notice.error),
        incident=notice.incident or None,
        count=notice.count,
        over=notice.over,
        attempts=[AttemptToDeliver(at=rfc3339(each.at), ok=each.ok, detail=each.detail) for each in delivery.attempts],
        next_attempt_at=None if delivery.next_at is None else rfc3339(delivery.next_at),
        created_at=rfc3339(delivery.due_at),
        updated_at=rfc3339(delivery.updated_at),
        sequence=f"x:{delivery.sequence}",
    )
