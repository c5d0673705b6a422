"""Where an execution comes from, as attributes and links of its spans. Pure."""

import msgspec

from penstock.domain.execution.facts import Enqueued, Joined, Link
from penstock.domain.ids import span_id
from penstock.domain.schedule.start import EVENT
from penstock.telemetry import names as t
from penstock.telemetry.span import Value

_CALLED: dict[str, Value] = {t.FAAS_TRIGGER: "other"}
_PUBLISHED: dict[str, Value] = {t.FAAS_TRIGGER: "pubsub"}


class _Data(msgspec.Struct, frozen=True):
    schedule: str = ""


class _Event(msgspec.Struct, frozen=True):
    name: str = ""
    time: str = ""
    data: _Data = _Data()


_decode = msgspec.json.Decoder(_Event).decode


def trigger_of(first: Enqueued) -> dict[str, Value]:
    """What caused it, in the words of the conventions for functions. Not to be changed: it may be shared."""
    if first.event_id is not None:
        return _PUBLISHED
    if first.event is None:
        return _CALLED
    # Made by ourselves: of a tick or of a hook.
    try:
        event = _decode(first.event)
    except msgspec.DecodeError:
        return _CALLED
    if event.name != EVENT:
        return _CALLED
    return {t.FAAS_TRIGGER: "timer", t.FAAS_TIME: event.time, t.SCHEDULE: event.data.schedule}


def origin_of(first: Enqueued, joined: Joined | None) -> dict[str, Value]:
    """The ids of what it goes back to."""
    optional = (
        (t.MESSAGING_MESSAGE_ID, first.event_id),
        (t.EXECUTION_PARENT, first.parent_id),
        (t.EXECUTION_RERUN_OF, first.rerun_of),
        (t.EXECUTION_RESTARTED_FROM, first.restarted_from),
        (t.EXECUTION_LEADER, joined.leader if joined is not None else None),
    )
    return {name: value for name, value in optional if value is not None}


def links_of(first: Enqueued, joined: Joined | None) -> list[Link]:
    """Spans that caused it without being its parent; of a member, its batch."""
    if joined is None or joined.reason != "batch":
        return first.links
    # A batch has a trace of its own, whose id is that of its execution.
    return [*first.links, Link(trace_id=joined.leader, span_id=span_id(joined.leader))]
