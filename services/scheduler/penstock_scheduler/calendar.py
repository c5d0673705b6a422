"""When each schedule is due next, as far as the log has said: a fold that keeps one time for each, to repair by.

The wake-ups in TIMERS are what makes ticks happen; this notices the one that was lost, at the cost of nothing while
all is well. It also knows which executions a kept tick waits for, and which apps declared schedules.
"""

import heapq
from collections.abc import Iterable, Mapping

import msgspec

from penstock.domain.schedule.facts import SchedulesDeclared
from penstock.ports import LogEntry
from penstock.wire.codec import decode_declared
from penstock.wire.names import Names

_FINAL = frozenset({"succeeded", "failed", "cancelled", "discarded"})


class _Cursor(msgspec.Struct):
    live: list[str] = []
    buffered: int | None = None


class _Spec(msgspec.Struct):
    app: str = ""


class _Glance(msgspec.Struct):
    kind: str = ""
    at: int = 0
    wakes_at: int | None = None
    cursor: _Cursor | None = None
    spec: _Spec | None = None


_decode = msgspec.json.Decoder(_Glance).decode


class Calendar:
    """The fold. `take` feeds it; the rest are questions."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._declared_prefix = names.system_subject("schedules_declared", "")
        self.times: dict[str, int] = {}
        """Schedule -> when it is due next."""
        self._heap: list[tuple[int, str]] = []
        self.waiting: dict[str, str] = {}
        """Execution -> schedule with a kept tick that waits for its end."""
        self.ready: dict[str, None] = {}
        """Schedules to be looked at now."""
        self.apps: dict[str, str] = {}
        """Schedule -> the app whose code declared it."""
        self.declared: dict[str, SchedulesDeclared] = {}
        """Apps whose declared set has not been compared with the schedules yet."""

    def take(self, batch: Iterable[LogEntry]) -> None:
        """Entries of the log, in order."""
        for _, subject, data in batch:
            if self.waiting and (parsed := self._names.parse_fact_subject(subject)) is not None:
                self._ended(parsed[0], data)
            elif (schedule := self._names.parse_schedule_subject(subject)) is not None:
                self._apply(schedule[0], data)
            elif subject.startswith(self._declared_prefix):
                declared = decode_declared(data)
                if declared is not None:
                    self.declared[declared.app] = declared

    def restore(self, times: Mapping[str, int], apps: Mapping[str, str]) -> None:
        """Some of both as a snapshot has them."""
        for key, until in times.items():
            self._wait(key, until)
        self.apps.update(apps)

    def caught_up(self) -> None:
        """What was in the log at the start is read: look at every kept tick once, since its way may be free."""
        self.ready.update(dict.fromkeys(self.waiting.values()))

    def due(self, before: int, limit: int) -> list[str]:
        """Up to `limit` schedules with something due before this time; each is given once, and once per `again`."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= before and len(found) < limit:
            when, key = heapq.heappop(self._heap)
            if self.times.get(key) == when:
                found.append(key)
        return found

    def again(self, key: str, when: int) -> None:
        """Give it once more: what was to be done about it could not be done."""
        self._wait(key, when)

    def _apply(self, key: str, data: bytes) -> None:
        try:
            glance = _decode(data)
        except msgspec.DecodeError:
            return
        if glance.kind in ("schedule_put", "schedule_resumed", "tick"):
            self._wait(key, glance.wakes_at)
        elif glance.kind == "backfill_requested":
            self._wait(key, glance.at)
        elif glance.kind in ("schedule_paused", "schedule_deleted"):
            self._wait(key, None)
        if glance.kind in ("schedule_put", "schedule_deleted"):
            self.apps.pop(key, None)
            if glance.spec is not None and glance.spec.app:
                self.apps[key] = glance.spec.app
        if glance.kind in ("tick", "schedule_deleted"):
            self._keep(key, glance.cursor)

    def _wait(self, key: str, until: int | None) -> None:
        if until is None:
            self.times.pop(key, None)
            return
        self.times[key] = until
        heapq.heappush(self._heap, (until, key))

    def _keep(self, key: str, cursor: _Cursor | None) -> None:
        for execution_id in [each for each, owner in self.waiting.items() if owner == key]:
            del self.waiting[execution_id]
        if cursor is not None and cursor.buffered is not None:
            self.waiting.update(dict.fromkeys(cursor.live, key))

    def _ended(self, execution_id: str, data: bytes) -> None:
        key = self.waiting.get(execution_id)
        if key is not None and _decode(data).kind in _FINAL:
            del self.waiting[execution_id]
            self.ready[key] = None
