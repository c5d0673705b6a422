"""The spans of whatever comes along in the log, as bytes: of executions, and of what was told about them."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

import msgspec

from penstock.domain.execution.facts import FINAL_KINDS, AnyFact, Enqueued, Unknown
from penstock.domain.system import NotificationDue, NotificationFailed, NotificationSent
from penstock.ports import ExecutionLog, LogEntry, Recorded
from penstock.telemetry.deliveries import delivery_spans
from penstock.telemetry.encode import EncodedSpan, encoded
from penstock.telemetry.plain import EncodedTrail
from penstock.telemetry.spans import spans_of
from penstock.wire.codec import decode_fact, decode_system_fact
from penstock.wire.names import Names

TRAILS_MAX = 100_000
"""Open executions remembered; what is older is read from the log again when it goes on."""


class TracedLog(ExecutionLog, Protocol):
    """The log, also of deliveries."""

    async def read_subject(self, subject: str) -> list[LogEntry]:
        """Everything on a literal subject, in order. Raises Unavailable."""


class Trails:
    """The open ends of executions, by id; the log gives back what was forgotten."""

    def __init__(self, log: TracedLog, names: Names, room: int = TRAILS_MAX, whole_after: int | None = None) -> None:
        """`whole_after`: the entries begin there, and what began before is nevertheless given from its beginning."""
        self._log = log
        self._names = names
        self._room = room
        self._whole_after = whole_after
        self._trails: OrderedDict[str, EncodedTrail] = OrderedDict()
        self._told: set[str] = set()
        """Executions that were over before the entries began, and are given because something was told of them."""
        self._taken = 0
        self.executions = 0
        """How many were given spans of."""

    async def spans(self, batch: Iterable[LogEntry]) -> list[EncodedSpan]:
        """The spans that these entries complete. Raises Unavailable."""
        found: list[EncodedSpan] = []
        await self.collect(batch, found)
        return found

    async def collect(self, batch: Iterable[LogEntry], found: list[EncodedSpan]) -> None:
        """Add the spans that these entries complete, which come in the order of the log.

        Raises Unavailable; then the batch is to be given again, with the same list.
        """
        for sequence, subject, data in batch:
            if sequence <= self._taken:
                continue
            parsed = self._names.parse_fact_subject(subject)
            if parsed is None:
                found += await self._of_delivery(sequence, subject, data)
            else:
                try:
                    fact = decode_fact(data)
                except msgspec.DecodeError:
                    continue
                execution_id, _, function = parsed
                trail = self._trails.get(execution_id)
                if trail is None:
                    trail, earlier = await self._begin(execution_id, function, sequence, fact)
                    found += earlier
                # What goes on stays: a long history is not to be read again and again.
                self._trails.move_to_end(execution_id)
                found += trail.add(fact)
                if type(fact) in FINAL_KINDS:
                    self._trails.pop(execution_id, None)
            self._taken = sequence

    async def _begin(
        self, execution_id: str, function: str, sequence: int, fact: AnyFact | Unknown
    ) -> tuple[EncodedTrail, list[EncodedSpan]]:
        trail, spans = EncodedTrail(execution_id), list[EncodedSpan]()
        is_new = isinstance(fact, Enqueued)
        if not is_new:
            history = [each for each in await self._log.read(execution_id, function) if each.sequence < sequence]
            for recorded in history:
                spans += trail.add(recorded.fact)
            is_new = self._is_whole(history)
        self.executions += is_new
        self._trails[execution_id] = trail
        if len(self._trails) > self._room:
            self._trails.popitem(last=False)
        return trail, spans if is_new else []

    def _is_whole(self, history: Iterable[Recorded]) -> bool:
        """True if nothing of it has come along yet, so that what it began with is still to be given."""
        after = self._whole_after
        return after is not None and all(each.sequence <= after for each in history)

    async def _of_delivery(self, sequence: int, subject: str, data: bytes) -> list[EncodedSpan]:
        if self._names.parse_delivery_subject(subject) is None:
            return []
        if not isinstance(decode_system_fact(data), NotificationSent | NotificationFailed):
            return []
        known = ((each.sequence, decode_system_fact(each.data)) for each in await self._log.read_subject(subject))
        history = [(at, fact) for at, fact in known if fact is not None and at <= sequence]
        due = history[0][1] if history else None
        if not isinstance(due, NotificationDue):
            return []
        execution_id, function = due.notice.execution_id, due.notice.function
        loaded = await self._log.load(execution_id, function) if execution_id else None
        earlier = await self._told_of(execution_id, function) if loaded is not None else []
        spans = delivery_spans(history, sequence, loaded.state.trace_id if loaded is not None else "")
        return [*earlier, *(encoded(span) for span in spans)]

    async def _told_of(self, execution_id: str, function: str) -> list[EncodedSpan]:
        if self._whole_after is None or execution_id in self._told:
            return []
        history = await self._log.read(execution_id, function)
        if not history or not self._is_whole(history):
            return []
        self._told.add(execution_id)
        self.executions += 1
        return [encoded(span) for span in spans_of(history)]
