"""From an entry of the log to what the rules of notifications see of it; decoding the rest would cost more."""

import msgspec

from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.notify.seen import Seen
from penstock.wire.names import Names

_SCHEDULE_KINDS = frozenset({"schedule_put", "schedule_paused", "schedule_resumed", "schedule_deleted", "tick"})
"""Facts after which it is known when a schedule ticks next."""


class _Glance(msgspec.Struct):
    kind: str = ""
    n: int = 0
    at: int = 0
    attempt: int = 0
    run_at: int | None = None
    wakes: bool = False
    reason: str = ""
    leader: str = ""
    error: ErrorInfo | None = None


class _Tick(msgspec.Struct):
    kind: str = ""
    at: int = 0
    wakes_at: int | None = None


_decode = msgspec.json.Decoder(_Glance).decode
_decode_tick = msgspec.json.Decoder(_Tick).decode


def glimpse(names: Names, sequence: int, subject: str, data: bytes) -> Seen | None:
    """What rules see of it; None for an entry that says nothing to any."""
    parsed = names.parse_fact_subject(subject)
    try:
        if parsed is not None:
            glance = _decode(data)
            return Seen(
                sequence=sequence, kind=glance.kind, at=glance.at, n=glance.n, execution_id=parsed[0],
                function=parsed[2], attempt=glance.attempt, error=glance.error, waits=glance.run_at is not None,
                wakes=glance.wakes, reason=glance.reason, leader=glance.leader,
            )  # fmt: skip
        schedule = names.parse_schedule_subject(subject)
        if schedule is not None:
            tick = _decode_tick(data)
            if tick.kind in _SCHEDULE_KINDS:
                return Seen(sequence=sequence, kind=tick.kind, at=tick.at, schedule=schedule[0], wakes_at=tick.wakes_at)
    except msgspec.DecodeError:
        return None
    return None
