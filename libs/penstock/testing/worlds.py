"""Everything that a simulation knows, in memory: executions as facts, events, what is runnable, and the clock.

The rules of the core decide; nothing here reads a real clock.
"""

import random
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.children import to_cancel
from penstock.domain.execution.commands import AnyCommand, CompleteChild, CompleteWait, Enqueue, RequestCancel, WakeUp
from penstock.domain.execution.create import Origin, enqueued
from penstock.domain.execution.decide import decide
from penstock.domain.execution.event_waits import value_at, wanted
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.facts import AnyFact, Enqueued, Succeeded, opens_activation
from penstock.domain.execution.inherit import NOTHING_INHERITED, Inherited, inherited_from, with_inherited
from penstock.domain.execution.state import Execution, State
from penstock.domain.function.options import CallOptions, ResolvedOptions, resolve


class StoredEvent(NamedTuple):
    """One event, as functions get it, and when it came."""

    position: int
    at: int
    name: str
    body: Raw
    data: Raw


class Record:
    """One execution."""

    def __init__(self, execution_id: str, function: str) -> None:
        self.id = execution_id
        self.function = function
        self.facts: list[AnyFact] = []
        self.state: Execution

    @property
    def first(self) -> Enqueued:
        first = self.facts[0]
        assert isinstance(first, Enqueued)
        return first


class World:
    """`now` is in microseconds since the epoch."""

    def __init__(self, start: int, seed: int) -> None:
        self.now = start
        self.records: dict[str, Record] = {}
        self.runnable: deque[tuple[Record, int]] = deque()
        """Executions with the number of the activation that is open, in the order in which they became runnable."""
        self.events: list[StoredEvent] = []
        self._chance = random.Random(seed)  # noqa: S311 - tests have to be repeatable
        self._sequence = 0
        self._inherited: dict[str, Inherited] = {}

    def new_id(self) -> str:
        """An execution id."""
        return f"{self._chance.getrandbits(128) | 1:032x}"

    def create(
        self, execution_id: str, function: str, args: Raw, kwargs: Raw, options: ResolvedOptions, origin: Origin
    ) -> Record:
        """Make an execution, or find that it is there."""
        if execution_id in self.records:
            return self.records[execution_id]
        record = Record(execution_id, function)
        fact = enqueued(execution_id, function, args, kwargs, options, self.now, origin)
        self.records[execution_id] = record
        self._append(record, decide(None, Enqueue(fact=fact), self.now))
        return record

    def rerun(self, record: Record, from_step: str | None = None) -> Record:
        """The same again, as a new execution; from a step on if one is named. Raises Rejected."""
        first = record.first
        options = resolve(CallOptions(metadata=first.metadata, retries=first.retries), self.now)
        origin = Origin(event=first.event, event_id=first.event_id, rerun_of=record.id)
        execution_id = self.new_id()
        if from_step is not None:
            before = self._inherited.get(record.id, NOTHING_INHERITED)
            self._inherited[execution_id] = inherited_from(record.facts, from_step, before)
        return self.create(execution_id, first.function, first.args, first.kwargs, options, origin)

    def with_inherited(self, record: Record) -> Execution:
        """The state with what it took over from the execution that it restarts."""
        taken = self._inherited.get(record.id)
        return record.state if taken is None else with_inherited(record.state, taken)

    def carry_out(self, record: Record, command: AnyCommand) -> Sequence[AnyFact]:
        """Decide and store. Raises Rejected."""
        facts = decide(record.state, command, self.now, self._chance.random())
        self._append(record, facts)
        return facts

    def _append(self, record: Record, facts: Sequence[AnyFact]) -> None:
        for fact in facts:
            self._sequence += 1
            record.facts.append(fact)
            before = record.state if len(record.facts) > 1 else None
            record.state = evolve(before, record.id, fact, self._sequence)
            if opens_activation(fact):
                self.runnable.append((record, fact.n))
        if facts and record.state.is_final:
            self._ended(record)

    def _ended(self, record: Record) -> None:
        """What the scheduler does about the end of an execution."""
        state = record.state
        for child in to_cancel(state):
            if child.id in self.records and not self.records[child.id].state.is_final:
                self.carry_out(self.records[child.id], RequestCancel(force=state.cancel_forced))
        parent = self.records.get(state.parent_id or "")
        if parent is None or parent.state.is_final:
            return
        last = record.facts[-1]
        result = last.result if isinstance(last, Succeeded) else Raw(b"null")
        self.carry_out(parent, CompleteChild(child=state.id, state=str(state.state), result=result, error=state.error))

    # Events.
    def store_event(self, event_id: str, name: str, data: Raw) -> StoredEvent:
        """Keep an event, and end the waits that it fits."""
        body = Raw(msgspec.json.encode({"id": event_id, "name": name, "source": "test", "data": data}))
        event = StoredEvent(len(self.events) + 1, self.now, name, body, data)
        self.events.append(event)
        for record in self.records.values():
            self.end_event_waits(record, event)
        return event

    def position_at(self, at: int) -> int:
        """The position of the last event before this time."""
        return sum(event.at < at for event in self.events)

    def end_event_waits(self, record: Record, event: StoredEvent) -> None:
        """End the open waits of one execution that this event fits."""
        for wait in list(record.state.waits.values()):
            fits = wait.wait == "event" and wait.name == event.name and wait.after < event.position
            if fits and wait.key in record.state.waits and _matches(wanted(wait.match), event.data):
                self.carry_out(
                    record, CompleteWait(wait=wait.key, outcome="event", result=event.body, source=str(event.position))
                )

    def look_back(self, record: Record) -> None:
        """End the waits just opened that an earlier event fits."""
        for event in self.events:
            self.end_event_waits(record, event)

    # Time.
    def next_time(self, *, skippable: bool) -> int | None:
        """When something is due next; with `skippable` only delays, backoffs and sleeps count.

        A sleep beside a wait for something from outside is that wait's time-out, and not skipped.
        """
        times = [_due(record.state, skippable) for record in self.records.values() if not record.state.is_final]
        return min((time for time in times if time is not None), default=None)

    def move_to(self, time: int) -> None:
        """Move the clock and wake what is due."""
        self.now = max(self.now, time)
        for record in list(self.records.values()):
            state = record.state
            if not state.is_final and (state.is_overdue(self.now) or (state.wakes_at or self.now + 1) <= self.now):
                self.carry_out(record, WakeUp())

    def cancel(self, record: Record, *, force: bool = False) -> None:
        """Ask it to stop. Raises Rejected `wrong_state`."""
        self.carry_out(record, RequestCancel(force=force))


def _due(state: Execution, skippable: bool) -> int | None:
    if not skippable or state.state in (State.SCHEDULED, State.RETRYING):
        return state.wakes_at
    outside = {wait.group for wait in state.waits.values() if wait.wait not in ("sleep", "children")} - {""}
    sleeps = [wait for wait in state.waits.values() if wait.wait == "sleep" and wait.group not in outside]
    return min((wait.until for wait in sleeps if wait.until is not None), default=None)


def _matches(match: dict[str, bytes], data: Raw) -> bool:
    try:
        content = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise Rejected("invalid_json", f"The data of the event is no JSON: {error}") from None
    return all(value_at(content, path) == value for path, value in match.items())
