"""What is open in the log and may need the scheduler: executions that wait for a time, run, or must start before one.

A fold over the whole log that keeps only these, each in a few hundred bytes; plain queued executions take none. It is
rebuilt from the beginning at every start: `entries` and `position` are all its state, so that a snapshot of the two
would shorten that.
"""

import heapq
from collections.abc import Iterable, Iterator

import msgspec

from penstock.domain.execution.state import Execution, State
from penstock.ports import LogEntry
from penstock.wire.names import Names

_FINAL = frozenset({"succeeded", "failed", "cancelled", "discarded"})


class _Glance(msgspec.Struct):
    """The few fields of any fact that matter here; decoding the rest would cost more than all else."""

    kind: str = ""
    n: int = 0
    at: int = 0
    run_at: int | None = None
    retry_at: int | None = None
    discard_at: int | None = None
    activation: int = 0
    attempt: int = 0
    runner: str = ""


_decode = msgspec.json.Decoder(_Glance).decode


class Entry(msgspec.Struct):
    """One open execution. `wakes_at` is None unless it waits for a time, `owner` is empty unless an attempt runs."""

    execution_id: str
    function: str
    n: int
    sequence: int
    wakes_at: int | None = None
    discard_at: int | None = None
    attempt: int = 0
    activation: int = 0
    owner: str = ""

    def as_execution(self) -> Execution:
        """As much of its state as the rule for wake-ups looks at. Only for one that waits for a time."""
        return Execution(
            id=self.execution_id, function=self.function, n=self.n, sequence=self.sequence, trace_id="",
            state=State.RETRYING if self.attempt else State.SCHEDULED, attempt=self.attempt, created_at=0,
            updated_at=0, scheduled_at=self.wakes_at, discard_at=self.discard_at,
        )  # fmt: skip


class Agenda:
    """The fold. `take` feeds it; the rest are questions."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.entries: dict[str, Entry] = {}
        self.position = 0
        self.owned: dict[str, set[str]] = {}
        """Runner -> executions that it runs."""
        self.unchecked: dict[str, None] = {}
        """Executions whose wake-up nobody has looked for yet, oldest first."""
        self._times: list[tuple[int, str]] = []
        """A heap of (time, execution); what does not match its entry any more is passed over."""

    def take(self, batch: Iterable[LogEntry]) -> None:
        """Entries of the log, in order."""
        for sequence, subject, data in batch:
            self.position = sequence
            parsed = self._names.parse_fact_subject(subject)
            if parsed is None:
                continue
            try:
                glance = _decode(data)
            except msgspec.DecodeError:
                continue
            self._apply(parsed[0], parsed[2], sequence, glance)

    def due(self, before: int, limit: int) -> list[Entry]:
        """Up to `limit` entries to be woken or discarded before this time; each is given once, and once per `again`."""
        found: list[Entry] = []
        while self._times and self._times[0][0] <= before and len(found) < limit:
            when, execution_id = heapq.heappop(self._times)
            entry = self.entries.get(execution_id)
            if entry is not None and not entry.owner and when in (entry.wakes_at, entry.discard_at):
                found.append(entry)
        return found

    def again(self, entry: Entry, when: int) -> None:
        """Give it once more, if it is still the same: what was to be done about it could not be done."""
        if self.entries.get(entry.execution_id) is entry:
            heapq.heappush(self._times, (when, entry.execution_id))

    def to_check(self, limit: int) -> Iterator[Entry]:
        """Entries whose wake-up should be looked for, each once."""
        for execution_id in list(self.unchecked)[:limit]:
            del self.unchecked[execution_id]
            entry = self.entries.get(execution_id)
            if entry is not None and entry.wakes_at is not None:
                yield entry

    def _apply(self, execution_id: str, function: str, sequence: int, glance: _Glance) -> None:
        kind = glance.kind
        if kind in _FINAL:
            self._drop(execution_id)
            return
        entry = self.entries.get(execution_id)
        if entry is None:
            interesting = (
                kind in ("started", "retry_scheduled", "rescheduled")
                or glance.run_at is not None
                or glance.discard_at is not None
            )
            if not interesting:
                return
            entry = self.entries[execution_id] = Entry(execution_id, function, 0, 0)
        entry.n, entry.sequence = glance.n, sequence
        if kind == "enqueued":
            entry.discard_at = glance.discard_at
            self._wait(entry, glance.run_at)
        elif kind == "started":
            # Whatever it waited for, it has started in time.
            entry.discard_at = entry.wakes_at = None
            entry.attempt, entry.activation, entry.owner = glance.attempt, glance.activation, glance.runner
            self.owned.setdefault(glance.runner, set()).add(execution_id)
        elif kind == "retry_scheduled":
            self._disown(entry)
            entry.attempt = glance.attempt
            self._wait(entry, glance.retry_at)
        elif kind == "rescheduled":
            self._wait(entry, glance.run_at)
        elif kind in ("attempt_lost", "due"):
            self._disown(entry)
            entry.wakes_at = None
            if entry.discard_at is None:
                self._drop(execution_id)

    def _wait(self, entry: Entry, until: int | None) -> None:
        entry.wakes_at = until
        if until is not None:
            heapq.heappush(self._times, (until, entry.execution_id))
            self.unchecked[entry.execution_id] = None
        if entry.discard_at is not None:
            heapq.heappush(self._times, (entry.discard_at, entry.execution_id))

    def _drop(self, execution_id: str) -> None:
        entry = self.entries.pop(execution_id, None)
        if entry is not None:
            self._disown(entry)
        self.unchecked.pop(execution_id, None)

    def _disown(self, entry: Entry) -> None:
        if entry.owner:
            owned = self.owned.get(entry.owner, set())
            owned.discard(entry.execution_id)
            if not owned:
                self.owned.pop(entry.owner, None)
        entry.owner, entry.activation = "", 0
