"""The first fact of an execution that a tick makes."""

import msgspec
from msgspec import Raw

from penstock.domain.execution.create import Origin, enqueued
from penstock.domain.execution.facts import Enqueued
from penstock.domain.function.options import CallOptions, resolve
from penstock.domain.schedule.spec import ScheduleSpec, rfc3339

EVENT = "penstock.tick"


def tick_enqueued(key: str, execution_id: str, tick: int, spec: ScheduleSpec, now: int) -> Enqueued:
    """Runnable at once, in a trace of its own; the function may ask for `event` to learn which tick it is."""
    following = spec.rule.ticks.after(tick)
    event = {
        "id": f"{key}/{rfc3339(tick)}",
        "name": EVENT,
        "source": f"/v1/schedules/{key}",
        "time": rfc3339(tick),
        "data": {
            "schedule": key,
            "tick": rfc3339(tick),
            "next": rfc3339(following) if following is not None else None,
        },
    }
    options = resolve(CallOptions(metadata=spec.metadata), now)
    origin = Origin(event=Raw(msgspec.json.encode(event)))
    return enqueued(execution_id, spec.function, spec.args, spec.kwargs, options, now, origin)
