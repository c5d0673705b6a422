"""Schedules and their ledger in the view: rows after a batch, and what readers see of them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from penstock.domain.schedule import facts as f
from penstock.domain.schedule.spec import interval_text
from penstock.domain.schedule.state import Schedule, evolve
from penstock.domain.schedule.ticks import first_after
from penstock_query.shapes import rfc3339

NEXT_TICKS = 5
Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
decode_schedule = msgspec.json.Decoder(Schedule).decode
decode_entry = msgspec.json.Decoder(f.LedgerEntry).decode


class ScheduleFact(NamedTuple):
    """One fact of a schedule on its way into the view."""

    sequence: int
    key: str
    fact: f.AnyScheduleFact


def schedule_rows(facts: Iterable[ScheduleFact], known: Mapping[str, Schedule]) -> tuple[list[Row], list[Row]]:
    """Rows of schedules and rows of ticks; what has no schedule to belong to is left out."""
    touched: dict[str, Schedule] = {}
    ticks: dict[tuple[str, int], Row] = {}
    for sequence, key, fact in facts:
        before = touched.get(key) or known.get(key)
        if before is None and not isinstance(fact, f.SchedulePut):
            continue
        after = evolve(before, fact, sequence)
        # Former expressions are read from the log; here they would only grow.
        touched[key] = replace(after, eras=after.eras[-1:])
        if isinstance(fact, f.Ticked):
            for entry in fact.entries:
                if entry.reason == "already_fired":
                    continue  # the entry from when it was fired says more
                ticks[key, entry.tick] = (key, entry.tick, fact.at, sequence, _encode(entry).decode())
    found = [(key, int(each.spec is not None), each.sequence, _encode(each).decode()) for key, each in touched.items()]
    return found, list(ticks.values())


class ScheduleShape(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule. `state` is active or paused, `summary` says the same in a sentence."""

    key: str
    function: str
    state: str
    summary: str
    cron: str | None
    every: str | None
    timezone: str
    catch_up: str
    overlap: str
    jitter: str | None
    args: Raw
    kwargs: Raw
    metadata: dict[str, str]
    source: str
    app: str | None
    next_ticks: list[str]
    last_tick: str | None
    buffered_tick: str | None
    created_at: str
    updated_at: str
    sequence: str


class TickShape(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a tick: fired, late, buffered or skipped. A skipped one may stand for `count` up to `until`."""

    tick: str
    outcome: str
    reason: str | None
    execution_id: str | None
    late_ms: int
    decided_at: str
    count: int | UnsetType = UNSET
    until: str | UnsetType = UNSET
    sequence: str


def schedule_shape(state: Schedule, now: int) -> ScheduleShape:
    """A schedule that is not deleted."""
    spec = state.spec
    assert spec is not None
    rule = spec.rule
    coming = [] if state.is_paused else first_after(rule.ticks, now, NEXT_TICKS)
    return ScheduleShape(
        key=state.key,
        function=spec.function,
        state="paused" if state.is_paused else "active",
        summary=_summary(state, coming),
        cron=rule.cron,
        every=interval_text(rule.every) if rule.every is not None else None,
        timezone=rule.timezone,
        catch_up=rule.catch_up,
        overlap=rule.overlap,
        jitter=interval_text(rule.jitter) if rule.jitter else None,
        args=spec.args,
        kwargs=spec.kwargs,
        metadata=spec.metadata,
        source="code" if spec.app else "api",
        app=spec.app or None,
        next_ticks=[rfc3339(tick) for tick in coming],
        last_tick=None if state.cursor.last_tick is None else rfc3339(state.cursor.last_tick),
        buffered_tick=None if state.cursor.buffered is None else rfc3339(state.cursor.buffered),
        created_at=rfc3339(state.created_at),
        updated_at=rfc3339(state.updated_at),
        sequence=f"x:{state.sequence}",
    )


def tick_shape(entry: f.LedgerEntry, decided_at: int, sequence: int) -> TickShape:
    return TickShape(
        tick=rfc3339(entry.tick),
        outcome=entry.outcome,
        reason=entry.reason or None,
        execution_id=entry.execution_id,
        late_ms=entry.late_ms,
        decided_at=rfc3339(decided_at),
        count=entry.count if entry.count > 1 else UNSET,
        until=rfc3339(entry.until) if entry.until is not None else UNSET,
        sequence=f"x:{sequence}",
    )


def _summary(state: Schedule, coming: Sequence[int]) -> str:
    last = state.cursor.last_tick
    past = f"last ran for {rfc3339(last)[:19]}Z" if last is not None else "has not run yet"
    if state.is_paused:
        return f"Paused; {past}."
    if state.cursor.buffered is not None:
        return f"Waits for the running execution to end, then runs for {rfc3339(state.cursor.buffered)[:19]}Z; {past}."
    if not coming:
        return f"Has no more ticks; {past}."
    return f"Runs next at {rfc3339(coming[0])[:19]}Z; {past}."
