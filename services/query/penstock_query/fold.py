"""One batch of the log in memory: which rows it touches, and what they are afterwards. Pure: no database, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.domain import system as s
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.facts import AnyFact, Enqueued, Unknown
from penstock.domain.execution.state import Execution, State
from penstock.ports import LogEntry
from penstock.wire.codec import decode_fact, decode_schedule_fact, decode_system_fact
from penstock.wire.names import Names
from penstock_query.notifications import DeliveryFact, delivery_key
from penstock_query.schedules import ScheduleFact
from penstock_query.slices import Sliced, finished, slices

TIME_MAX = 253_402_300_799_999_999
"""The last microsecond of the year 9999; nothing later can be written as RFC 3339."""
NUMBER_MAX = 2**31 - 1
QUARANTINE_BYTES_MAX = 64 * 1024

SYSTEM_KINDS = frozenset({"event_fanned_out", "event_rejected", "function_declared"})

Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
_decode_body = msgspec.json.Decoder(Execution).decode


class Known(NamedTuple):
    """An execution and the position of its first fact."""

    created_sequence: int
    state: Execution


class Decoded(NamedTuple):
    """One fact of an execution on its way into the fold."""

    entry: LogEntry
    execution_id: str
    fact: AnyFact | Unknown


class Batch(NamedTuple):
    """A decoded batch. `wanted` are the executions whose rows must be loaded before it can be folded."""

    facts: list[Decoded]
    wanted: set[str]
    events: list[Row]
    functions: list[Row]
    quarantine: list[Row]
    schedules: list[ScheduleFact]
    deliveries: list[DeliveryFact]


class Changes(NamedTuple):
    """What a batch does to the view: rows in the order of the tables' columns."""

    touched: dict[str, Known]
    created: list[Row]
    moved: list[Row]
    metadata: list[Row]
    events: list[Row]
    functions: list[Row]
    quarantine: list[Row]
    schedules: list[Row] = []
    ticks: list[Row] = []
    notifications: list[Row] = []


def indexable(text: str) -> str:
    """The text as both databases can store it: PostgreSQL has no NUL in text."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def quarantined(entry: LogEntry, reason: str) -> Row:
    return (entry.sequence, indexable(entry.subject), indexable(reason), entry.data[:QUARANTINE_BYTES_MAX])


def decoded(names: Names, entries: Sequence[LogEntry], cached: Mapping[str, Known]) -> Batch:
    """Decode a batch. What cannot be decoded goes to quarantine; an unknown kind is no error."""
    return finished(decoding(names, entries, cached))


def decoding(names: Names, entries: Sequence[LogEntry], cached: Mapping[str, Known]) -> Sliced[Batch]:
    """The same in slices."""
    batch = Batch([], set(), [], [], [], [], [])
    created: set[str] = set()
    for part in slices(entries):
        for entry in part:
            _decode(names, entry, cached, batch, created)
        yield
    return batch


def _decode(names: Names, entry: LogEntry, cached: Mapping[str, Known], batch: Batch, created: set[str]) -> None:
    try:
        parsed = names.parse_fact_subject(entry.subject)
        if parsed is None:
            _system(names, entry, batch)
            return
        fact = decode_fact(entry.data)
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
        batch.quarantine.append(quarantined(entry, f"cannot be decoded: {error}"))
        return
    if not (0 < fact.n <= NUMBER_MAX and 0 <= fact.at <= TIME_MAX):
        batch.quarantine.append(quarantined(entry, "its number or its time is out of range"))
        return
    execution_id = parsed[0]
    if type(fact) is Enqueued:
        created.add(execution_id)
    elif execution_id not in created and execution_id not in cached:
        batch.wanted.add(execution_id)
    batch.facts.append(Decoded(entry, execution_id, fact))


def folded(batch: Batch, known: Mapping[str, Known]) -> Changes:
    """The rows after the batch, given the executions known before it."""
    return finished(folding(batch, known))


def folding(batch: Batch, known: Mapping[str, Known]) -> Sliced[Changes]:
    """The same in slices."""
    touched: dict[str, Known] = {}
    metadata: list[Row] = []
    first = batch.facts[0].entry.sequence if batch.facts else 0
    for facts in slices(batch.facts):
        for each in facts:
            _fold(each, touched, known, metadata, batch.quarantine)
        yield
    new: list[Row] = []
    moved: list[Row] = []
    for states in slices(list(touched.values())):
        new += [created_row(each) for each in states if each.created_sequence >= first]
        moved += [moved_row(each) for each in states if each.created_sequence < first]
        yield
    return Changes(touched, new, moved, metadata, batch.events, batch.functions, batch.quarantine)


def _fold(
    each: Decoded, touched: dict[str, Known], known: Mapping[str, Known], metadata: list[Row], refused: list[Row]
) -> None:
    entry, execution_id, fact = each
    before = touched.get(execution_id) or known.get(execution_id)
    if type(fact) is Enqueued:
        if before is not None:
            # A first fact in the middle of a history would throw the history away.
            refused.append(quarantined(entry, "its execution was there already"))
            return
        created_sequence = entry.sequence
        for key, value in fact.metadata.items():
            metadata.append((indexable(key), indexable(value), created_sequence))
        state = evolve(None, execution_id, fact, entry.sequence)
    elif before is None:
        refused.append(quarantined(entry, "the first fact of its execution is missing"))
        return
    elif fact.n <= before.state.n:
        refused.append(quarantined(entry, f"number {fact.n} of its execution was there already"))
        return
    else:
        created_sequence = before.created_sequence
        # Results of operations are read from the log; here they would only grow.
        state = evolve(before.state, execution_id, fact, entry.sequence).without_operations()
    touched[execution_id] = Known(created_sequence, state)


def created_row(known: Known) -> Row:
    """The whole row of an execution, in the order of the columns."""
    created_sequence, state = known
    event_id, parent_id = state.event_id, state.parent_id
    return (
        created_sequence,
        state.id,
        state.function,
        str(state.state),
        state.sequence,
        state.created_at,
        state.scheduled_at,
        state.due_at,
        state.started_at,
        state.finished_at,
        indexable(event_id) if event_id else None,
        indexable(parent_id) if parent_id else None,
        _error_code(state),
        _encode(state).decode(),
    )


def moved_row(known: Known) -> Row:
    """What changes in the row of an execution, and its key last."""
    created_sequence, state = known
    return (
        str(state.state),
        state.sequence,
        state.scheduled_at,
        state.due_at,
        state.started_at,
        state.finished_at,
        _error_code(state),
        _encode(state).decode(),
        created_sequence,
    )


def _error_code(state: Execution) -> str | None:
    return indexable(state.error.code) if state.state is State.FAILED and state.error is not None else None


def rehydrated(rows: Iterable[tuple[int, str]]) -> dict[str, Known]:
    """Executions from (created_sequence, body) pairs."""
    found = (Known(sequence, _decode_body(body)) for sequence, body in rows)
    return {known.state.id: known for known in found}


def _system(names: Names, entry: LogEntry, batch: Batch) -> None:
    schedule = names.parse_schedule_subject(entry.subject)
    if schedule is not None:
        said = decode_schedule_fact(entry.data)
        if said is not None:
            batch.schedules.append(ScheduleFact(entry.sequence, schedule[0], said))
        return
    delivery = names.parse_delivery_subject(entry.subject)
    if delivery is not None:
        told = decode_system_fact(entry.data)
        if told is not None:
            batch.deliveries.append(DeliveryFact(entry.sequence, delivery_key(*delivery), told))
        return
    kind = entry.subject.removeprefix(names.system_subject("", "").rstrip(".") + ".").split(".", 1)[0]
    fact = decode_system_fact(entry.data)
    match fact:
        case s.EventFannedOut():
            # A function that matched and was refused is a match too: the event did not go unnoticed.
            state = "matched" if fact.executions or fact.refused else "unmatched"
            row = (fact.sequence, entry.sequence, indexable(fact.event_id), indexable(fact.name), state)
            batch.events.append((*row, _encode(fact).decode()))
        case s.EventRejected():
            parsed = names.parse_event_subject(fact.subject)
            name = parsed[1] if parsed is not None else fact.subject
            row = (fact.sequence, entry.sequence, rejected_event_id(fact.sequence), indexable(name), "rejected")
            batch.events.append((*row, _encode(fact).decode()))
        case s.FunctionDeclared():
            batch.functions.append((fact.spec.name, entry.sequence, _encode(fact).decode()))
        case None:
            if kind in SYSTEM_KINDS:
                batch.quarantine.append(quarantined(entry, f"is no valid {kind}"))


def rejected_event_id(sequence: int) -> str:
    """What was rejected may have no id of its own; its position names it."""
    return f"e:{sequence}"
