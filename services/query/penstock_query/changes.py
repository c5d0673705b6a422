"""The changes that readers of the stream see, folded from entries of the log in their order."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.facts import Enqueued
from penstock.domain.execution.state import Execution
from penstock.handle import fold_recorded
from penstock.ports import LogEntry, Recorded
from penstock.wire.names import Names
from penstock_query.fold import Batch, Decoded, Known, decoded
from penstock_query.shapes import ExecutionShape, execution_shape

CACHE_MAX = 5000
READS_AT_ONCE = 16

EVENTS = ("created", "state", "attempt", "progress", "final", "skipped")
"""All names that an event of the stream may have."""


class Change(NamedTuple):
    """What one fact changed: its position, the name of the event, and the execution after it."""

    sequence: int
    event: str
    execution: ExecutionShape


class Bodies(Protocol):
    """Executions as the view has them."""

    async def bodies(self, ids: Sequence[str]) -> list[Known]: ...


class Log(Protocol):
    """The facts of one execution."""

    async def read(self, execution_id: str, function: str) -> list[Recorded]: ...


def event_of(before: Execution | None, after: Execution) -> str | None:
    """The name of the change; None if nothing changed that an execution shows."""
    if before is None:
        return "created"
    if after.is_final:
        return None if before.is_final else "final"
    if after.attempt != before.attempt:
        return "attempt"
    if after.state != before.state or after.scheduled_at != before.scheduled_at:
        return "state"
    return "progress" if after.progress != before.progress else None


class Folder:
    """Folds one stretch of the log. What happened before it is looked up: in the view, else in the log."""

    def __init__(self, names: Names, bodies: Bodies, log: Log, trace_url: str) -> None:
        self._names = names
        self._bodies = bodies
        self._log = log
        self._trace_url = trace_url
        self._known: dict[str, Known] = {}

    async def fold(self, entries: Sequence[LogEntry]) -> list[Change]:
        """The changes that these entries made; call it with the stretch's entries in order."""
        batch = decoded(self._names, entries, self._known)
        self._known.update(await self._before(batch))
        changes = []
        for entry, execution_id, fact in batch.facts:
            known = self._known.get(execution_id)
            before = known.state if known is not None else None
            # As in the view: what does not fit is left out.
            if (before is None) != (type(fact) is Enqueued) or (before is not None and fact.n <= before.n):
                continue
            after = evolve(before, execution_id, fact, entry.sequence).without_operations()
            self._known[execution_id] = Known(0, after)
            event = event_of(before, after)
            if event is not None:
                changes.append(Change(entry.sequence, event, execution_shape(after, self._trace_url)))
        self._forget(batch)
        return changes

    async def _before(self, batch: Batch) -> dict[str, Known]:
        """The executions of the batch that began earlier, as they were before their first fact in it."""
        firsts: dict[str, Decoded] = {}
        for each in batch.facts:
            if each.execution_id in batch.wanted:
                firsts.setdefault(each.execution_id, each)
        found = {known.state.id: known for known in (await self._bodies.bodies(list(firsts)) if firsts else ())}
        found = {key: known for key, known in found.items() if known.state.n == firsts[key].fact.n - 1}
        missing = [each for key, each in firsts.items() if key not in found]
        for start in range(0, len(missing), READS_AT_ONCE):
            states = await asyncio.gather(*(self._read(each) for each in missing[start : start + READS_AT_ONCE]))
            found.update({state.id: Known(0, state) for state in states if state is not None})
        return found

    async def _read(self, first: Decoded) -> Execution | None:
        """The view is ahead of this fact, or behind it."""
        parsed = self._names.parse_fact_subject(first.entry.subject)
        recorded = await self._log.read(first.execution_id, parsed[2]) if parsed is not None else []
        recorded = [each for each in recorded if each.sequence < first.entry.sequence]
        if not recorded or not isinstance(recorded[0].fact, Enqueued):
            return None
        state = fold_recorded(recorded)
        return state.without_operations() if state is not None else None

    def _forget(self, batch: Batch) -> None:
        for each in batch.facts:
            known = self._known.get(each.execution_id)
            if known is not None and known.state.is_final:
                del self._known[each.execution_id]
        while len(self._known) > CACHE_MAX:
            del self._known[next(iter(self._known))]
