"""What is open in the log and may need the scheduler: executions that wait for a time or an event, run, or must start
before a time.

A fold over the whole log that keeps only these, each in a few hundred bytes; plain queued executions take none.
`entries` and `position` are all its state, and what a snapshot holds; the rest is found again from them.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec

from penstock.domain.execution.event_waits import EventWait, EventWaits, wanted
from penstock.domain.execution.state import Execution, State
from penstock.domain.ids import child_execution_id
from penstock.ports import LogEntry
from penstock.wire.names import START_WAIT, Names, wait_token
from penstock_scheduler.glance import Glance, GlancedWait, glance_at
from penstock_scheduler.shared import SharedChildren

SPENT_US = 60_000_000
"""A wake-up that is not needed any more and fires within so long is left to fire for nothing."""
SPENT_MAX = 100_000

_FINAL = frozenset({"succeeded", "failed", "cancelled", "discarded"})


class OpenWait(msgspec.Struct, array_like=True, gc=False):
    """An open wait that ends at a time (`until`), or with an event of the name `event`."""

    key: str
    group: str
    until: int | None
    event: str = ""
    match: dict[str, bytes] = {}
    after: int = 0
    sequence: int = 0
    """Where it was opened."""


class Entry(msgspec.Struct, array_like=True, gc=False):
    """One open execution. `starts_at` is None unless it waits for its start, `owner` empty unless an attempt runs.

    Snapshots hold the fields in this order: a new one goes to the end, or the format of `times.py` is raised.
    """

    execution_id: str
    function: str
    n: int
    sequence: int
    starts_at: int | None = None
    """The end of a delay or of a backoff."""
    discard_at: int | None = None
    deadline_at: int | None = None
    """When the time for the whole execution is over."""
    attempt: int = 0
    activation: int = 0
    owner: str = ""
    gated: bool | None = None
    """None: not known, since the facts that tell were passed over."""
    wait_at: int | None = None
    """When the first of its open waits is over by itself; it may run meanwhile."""
    waits: list[OpenWait] = []
    shared: list[str] = []
    """Children that it waits for and that may have been made by others."""

    @property
    def wakes_at(self) -> int | None:
        """When something is due without anybody asking; an execution that waits for its start looks at nothing else."""
        return self.starts_at if self.starts_at is not None else self.wait_at

    @property
    def is_idle(self) -> bool:
        """True where nothing is left that anybody has to look after."""
        times = (self.wakes_at, self.discard_at, self.deadline_at)
        return not (self.owner or self.waits or self.shared) and all(time is None for time in times)

    def as_execution(self) -> Execution | None:
        """As much of its state as the rule for wake-ups looks at; None where more is needed than is known here."""
        if self.starts_at is None or self.gated is None or self.deadline_at is not None:
            return None
        return Execution(
            id=self.execution_id, function=self.function, n=self.n, sequence=self.sequence, trace_id="",
            state=State.RETRYING if self.attempt else State.SCHEDULED, attempt=self.attempt, created_at=0,
            updated_at=0, scheduled_at=self.starts_at, discard_at=self.discard_at, gated=self.gated,
        )  # fmt: skip


class Agenda:
    """The fold. `take` feeds it; the rest are questions."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.entries: dict[str, Entry] = {}
        self.position = 0
        self.owned: dict[str, set[str]] = {}
        """Runner -> executions that it runs."""
        self.events = EventWaits()
        """Open waits for events."""
        self.shared = SharedChildren()
        self.fresh_waits: dict[tuple[str, str], EventWait] = {}
        """Those of them that nobody has taken yet, by execution and key."""
        self.has_fresh_waits = asyncio.Event()
        self.unchecked: dict[str, None] = {}
        """Executions whose wake-up nobody has looked for yet, oldest first."""
        self.spent: dict[tuple[str, str], int] = {}
        """Wake-ups that nobody needs any more, though they are still to fire: execution and token -> their time."""
        self._told = 0
        """The time of the newest fact."""
        self._times: list[tuple[int, str]] = []
        self._discards: list[tuple[int, str]] = []
        self._again: dict[str, int] = {}
        """A heap of (time, execution); what does not match its entry any more is passed over."""

    def take(self, batch: Iterable[LogEntry]) -> None:
        """Entries of the log, in order."""
        for sequence, subject, data in batch:
            self.position = sequence
            parsed = self._names.parse_fact_subject(subject)
            if parsed is None:
                continue
            try:
                glance = glance_at(data)
            except msgspec.DecodeError:
                continue
            self._apply(parsed[0], parsed[2], sequence, glance)

    def restore(self, entries: Iterable[Entry]) -> None:
        """Some of the entries as a snapshot has them; all their wake-ups and events are looked for again."""
        for entry in entries:
            self.entries[entry.execution_id] = entry
            if entry.owner:
                self.owned.setdefault(entry.owner, set()).add(entry.execution_id)
            self._expect(entry)
            for wait in entry.waits:
                self._await_event(entry, wait)
            for child in entry.shared:
                self.shared.add(child, entry.execution_id)

    def due(self, before: int, limit: int) -> list[Entry]:
        """Up to `limit` entries to be woken before this time; each is given once, and once per `again`."""
        return list(islice(self._taken(self._times, before, lambda each: (each.wakes_at, each.deadline_at)), limit))

    def due_discards(self, before: int, limit: int) -> list[Entry]:
        """The same for those that were not to start so late."""
        return list(islice(self._taken(self._discards, before, lambda each: (each.discard_at,)), limit))

    def _taken(
        self, heap: list[tuple[int, str]], before: int, times_of: Callable[[Entry], tuple[int | None, ...]]
    ) -> Iterator[Entry]:
        while heap and heap[0][0] <= before:
            when, execution_id = heapq.heappop(heap)
            entry = self.entries.get(execution_id)
            if self._again.get(execution_id) == when:
                del self._again[execution_id]
            elif entry is None or when not in times_of(entry):
                continue
            if entry is not None:
                yield entry

    def again(self, entry: Entry, when: int) -> None:
        """Give it once more, if it is still the same: what was to be done about it could not be done."""
        if self.entries.get(entry.execution_id) is entry:
            self._again[entry.execution_id] = when
            heapq.heappush(self._times, (when, entry.execution_id))

    def to_check(self, limit: int) -> Iterator[Entry]:
        """Entries whose wake-up should be looked for, each once."""
        for execution_id in list(self.unchecked)[:limit]:
            del self.unchecked[execution_id]
            entry = self.entries.get(execution_id)
            if entry is not None and entry.wakes_at is not None:
                yield entry

    def take_fresh_waits(self) -> list[EventWait]:
        """Open waits for events that this was not asked for before."""
        fresh, self.fresh_waits = list(self.fresh_waits.values()), {}
        return fresh

    def _apply(self, execution_id: str, function: str, sequence: int, glance: Glance) -> None:
        kind, self._told = glance.kind, max(self._told, glance.at)
        if kind in _FINAL:
            if execution_id in self.shared:
                self.shared.look(execution_id)
            self._drop(execution_id)
            return
        entry = self.entries.get(execution_id)
        if entry is None:
            interesting = (
                kind in _BEGINS
                or glance.run_at is not None
                or glance.discard_at is not None
                or glance.deadline_at is not None
                or glance.wakes_at is not None
            )
            if not interesting:
                return
            entry = self.entries[execution_id] = Entry(execution_id, function, 0, 0)
        entry.n, entry.sequence = glance.n, sequence
        change = _CHANGES.get(kind)
        if change is not None:
            change(self, entry, glance)
            if entry.is_idle and kind != "admitted":
                self._drop(execution_id)

    # What each kind of fact changes.

    def _enqueued(self, entry: Entry, glance: Glance) -> None:
        entry.gated, entry.discard_at, entry.starts_at = glance.gated, glance.discard_at, glance.run_at
        entry.deadline_at = glance.deadline_at
        self._expect_deadline(entry)
        self._expect(entry)

    def _admitted(self, entry: Entry, _: Glance) -> None:
        entry.gated = True

    def _started(self, entry: Entry, glance: Glance) -> None:
        # Whatever it waited for, it has started in time.
        entry.discard_at = entry.starts_at = None
        entry.attempt, entry.activation, entry.owner = glance.attempt, glance.activation, glance.runner
        if glance.activation == 1:
            entry.gated = False
        self.owned.setdefault(glance.runner, set()).add(entry.execution_id)
        self._expect(entry)

    def _retry_scheduled(self, entry: Entry, glance: Glance) -> None:
        self._disown(entry)
        entry.attempt, entry.starts_at = glance.attempt, glance.retry_at
        self._expect(entry)

    def _rescheduled(self, entry: Entry, glance: Glance) -> None:
        entry.starts_at = glance.run_at
        self._expect(entry)

    def _given_up(self, entry: Entry, _: Glance) -> None:
        self._disown(entry)
        entry.starts_at = None
        if entry.wait_at is not None:
            self._expect(entry)

    def _wait_opened(self, entry: Entry, glance: Glance) -> None:
        if glance.suspends:
            self._disown(entry)
        for wait in glance.waits:
            if wait.until is not None or wait.wait == "event":
                opened = _opened(wait, entry.sequence)
                entry.waits = [*entry.waits, opened]
                self._await_event(entry, opened)
        self._wait_until(entry, glance.wakes_at)

    def _suspended(self, entry: Entry, glance: Glance) -> None:
        self._disown(entry)
        self._wait_until(entry, glance.wakes_at)

    def _woken(self, entry: Entry, glance: Glance) -> None:
        over = next((wait for wait in entry.waits if wait.key == glance.wait), None)
        if over is not None:
            self._close(entry, lambda wait: wait is over or bool(over.group and wait.group == over.group))
        self._wait_until(entry, glance.wakes_at)

    def _child_called(self, entry: Entry, glance: Glance) -> None:
        for index, child in enumerate(glance.children):
            if not glance.detached and child.id != child_execution_id(entry.execution_id, glance.call, index):
                entry.shared = [*entry.shared, child.id]
                self.shared.add(child.id, entry.execution_id)

    def _child_completed(self, entry: Entry, glance: Glance) -> None:
        if glance.child in entry.shared:
            entry.shared = [each for each in entry.shared if each != glance.child]
            self.shared.remove(glance.child, entry.execution_id)
        self._wait_until(entry, glance.wakes_at)

    def _compensating(self, entry: Entry, _: Glance) -> None:
        self._disown(entry)
        entry.starts_at = entry.wait_at = None
        self._close(entry, lambda _: True)

    # Times and waits.

    def _expect_deadline(self, entry: Entry) -> None:
        """While it runs its runner keeps the time; whenever it stops running, somebody has to."""
        if entry.deadline_at is not None:
            heapq.heappush(self._times, (entry.deadline_at, entry.execution_id))

    def _expect(self, entry: Entry) -> None:
        """Its next times are what they are now."""
        if entry.wakes_at is not None:
            heapq.heappush(self._times, (entry.wakes_at, entry.execution_id))
            self.unchecked[entry.execution_id] = None
        if entry.discard_at is not None:
            heapq.heappush(self._discards, (entry.discard_at, entry.execution_id))

    def _wait_until(self, entry: Entry, wakes_at: int | None) -> None:
        """The first open wait ends at `wakes_at`. What should have ended before is over, though its fact is silent."""
        self._close(entry, lambda wait: wait.until is not None and (wakes_at is None or wait.until < wakes_at))
        if wakes_at != entry.wait_at:
            entry.wait_at = wakes_at
            if entry.starts_at is None:
                self._expect(entry)

    def _await_event(self, entry: Entry, wait: OpenWait) -> None:
        if wait.event:
            found = EventWait(
                entry.execution_id, entry.function, wait.key, wait.event, wait.match, wait.after, wait.sequence
            )
            self.events.add(found)
            self.fresh_waits[entry.execution_id, wait.key] = found
            self.has_fresh_waits.set()

    def _close(self, entry: Entry, is_over: Callable[[OpenWait], bool]) -> None:
        left = []
        for wait in entry.waits:
            if not is_over(wait):
                left.append(wait)
                continue
            if wait.until is not None:
                self._spend(entry, wait_token(wait.key), wait.until)
            if wait.event:
                self.events.remove(entry.execution_id, wait.key)
                self.fresh_waits.pop((entry.execution_id, wait.key), None)
        if len(left) < len(entry.waits):
            entry.waits = left

    def _spend(self, entry: Entry, token: str, until: int) -> None:
        """Its wake-up has fired, or is to be cleared if it has still far to go."""
        if until - self._told > SPENT_US:
            self.spent[entry.execution_id, token] = until
            if len(self.spent) > SPENT_MAX:
                self.spent = {place: at for place, at in self.spent.items() if at > self._told}

    def _drop(self, execution_id: str) -> None:
        entry = self.entries.pop(execution_id, None)
        if entry is not None:
            self._disown(entry)
            self._close(entry, lambda _: True)
            if entry.starts_at is not None:
                self._spend(entry, START_WAIT, entry.starts_at)
            for child in entry.shared:
                self.shared.remove(child, execution_id)
        self.unchecked.pop(execution_id, None)

    def _disown(self, entry: Entry) -> None:
        if entry.owner:
            owned = self.owned.get(entry.owner, set())
            owned.discard(entry.execution_id)
            if not owned:
                self.owned.pop(entry.owner, None)
            self._expect_deadline(entry)
        entry.owner, entry.activation = "", 0


def _opened(wait: GlancedWait, sequence: int) -> OpenWait:
    if wait.wait != "event":
        return OpenWait(wait.key, wait.group, wait.until)
    return OpenWait(wait.key, wait.group, wait.until, wait.name, wanted(wait.match), wait.after, sequence)


_BEGINS = frozenset({"admitted", "started", "retry_scheduled", "rescheduled", "wait_opened"})
"""Kinds with which an execution becomes worth keeping."""

_CHANGES: dict[str, Callable[[Agenda, Entry, Glance], None]] = {
    "enqueued": Agenda._enqueued,
    "admitted": Agenda._admitted,
    "started": Agenda._started,
    "retry_scheduled": Agenda._retry_scheduled,
    "rescheduled": Agenda._rescheduled,
    "attempt_lost": Agenda._given_up,
    "due": Agenda._given_up,
    "wait_opened": Agenda._wait_opened,
    "suspended": Agenda._suspended,
    "woken": Agenda._woken,
    "child_called": Agenda._child_called,
    "child_completed": Agenda._child_completed,
    "paused": Agenda._given_up,
    "compensating": Agenda._compensating,
}
"""What each kind of fact does; one that is not here only moves the number."""
