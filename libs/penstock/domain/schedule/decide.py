"""Which ticks are due and what becomes of them: pure functions of the schedule, the time and what still runs."""

import hashlib
from collections.abc import Collection
from typing import NamedTuple

from msgspec.structs import replace

from penstock.domain.ids import tick_execution_id
from penstock.domain.limits import catch_up_ticks_max, tick_late_milliseconds, tick_missed_seconds, ticks_counted_max
from penstock.domain.schedule.facts import Cursor, LedgerEntry, Ticked
from penstock.domain.schedule.spec import ScheduleSpec
from penstock.domain.schedule.state import Era, Schedule
from penstock.domain.schedule.ticks import SECOND, between, count_between, last_between

LIVE_MAX = 100
"""Executions remembered as running for the overlap rule."""
BACKFILL_BATCH = 100
"""Ticks of a backfill decided at once."""


class DueTick(NamedTuple):
    """A tick that wants an execution: when it was due, and by which spec."""

    tick: int
    due_at: int
    spec: ScheduleSpec
    reason: str = ""


class Plan(NamedTuple):
    """What is due, before anybody has looked at what still runs."""

    due: list[DueTick]
    skipped: list[LedgerEntry]
    through: int


class Fire(NamedTuple):
    """An execution to be made."""

    execution_id: str
    tick: int
    spec: ScheduleSpec


class Decision(NamedTuple):
    """The ledger fact (None: nothing was due), the executions that stand or fall with it, and those to be cancelled."""

    fact: Ticked | None
    fire: list[Fire]
    cancel: list[str]
    wakes_at: int | None


def jitter_of(key: str, tick: int, spec: ScheduleSpec) -> int:
    """Microseconds by which this tick is late on purpose: always the same, and never beyond the next tick."""
    window = spec.rule.jitter
    if not window:
        return 0
    following = spec.rule.ticks.after(tick)
    if following is not None:
        window = min(window, following - tick)
    digest = hashlib.blake2b(f"{key}/{tick}".encode(), digest_size=8).digest()
    return window * int.from_bytes(digest) >> 64


def wakes_at(state: Schedule, cursor: Cursor, now: int) -> int | None:
    """When something is due again without anybody asking."""
    if any(request.sequence > cursor.request for request in state.requests):
        return now
    if not state.is_live:
        return None
    for index, era in enumerate(state.eras):
        end = state.eras[index + 1].at if index + 1 < len(state.eras) else None
        low = max(era.at, cursor.through)
        if era.spec is None or era.paused or (end is not None and low >= end):
            continue
        tick = era.spec.rule.ticks.after(low)
        if tick is not None:
            due_at = tick + jitter_of(state.key, tick, era.spec)
            if end is None or due_at <= end:
                return due_at
    return None


def plan(state: Schedule, now: int) -> Plan:
    """The ticks between the cursor and now, by the expression that held at each, and those that are skipped anyhow."""
    spec = state.spec
    if spec is None or (state.is_paused and not state.requests):
        return Plan([], [], state.cursor.through)
    due: list[DueTick] = []
    skipped: list[LedgerEntry] = []
    through = max(now, state.cursor.through)
    catch_up = spec.rule.catch_up
    spans = _spans(state, now)
    for era, low, high in reversed(spans):
        if era.spec is None:
            continue
        if era.paused or state.is_paused:
            # A backfill during a pause needs the ticks before it decided, and a pause fires nothing.
            skipped[:0] = _skipped(era.spec, low, high, "paused")
            continue
        found, _ = last_between(era.spec.rule.ticks, low, high, catch_up_ticks_max + 1)
        ready = [DueTick(tick, tick + jitter_of(state.key, tick, era.spec), era.spec) for tick in found]
        if ready and ready[-1].due_at > high:
            early = ready.pop()
            if era is state.eras[-1]:
                through = early.tick - 1
            high = early.tick - 1
        kept, reason = _kept(ready, due, catch_up, now)
        due[:0] = kept
        skipped[:0] = _skipped(era.spec, low, kept[0].tick - 1 if kept else high, reason)
    return Plan(due, skipped, through)


def decide(
    state: Schedule, environment: str, now: int, running: Collection[str], existing: Collection[str] = ()
) -> Decision:
    """What follows at `now`. `running` are those of `state.cursor.live` that are not final, `existing` are executions
    of ticks that were made already.
    """
    planned = plan(state, now)
    cursor = replace(
        state.cursor, through=planned.through, live=[each for each in state.cursor.live if each in running]
    )
    entries = list(planned.skipped)
    fire: list[Fire] = []
    cancel: list[str] = []
    queue = [*_held(state), *planned.due]
    overlap = state.spec.rule.overlap if state.spec is not None else "allow"
    busy, buffered = bool(cursor.live), None
    for position, each in enumerate(queue):
        last = position == len(queue) - 1
        if overlap == "cancel_old" and last:
            cancel, cursor = list(cursor.live), replace(cursor, live=[])
        elif overlap == "buffer_one" and busy and buffered is None:
            buffered = each.tick
            if each.reason != "buffered":
                entries.append(LedgerEntry(tick=each.tick, outcome="buffered"))
            continue
        elif overlap == "cancel_old" or (overlap != "allow" and busy):
            entries.append(LedgerEntry(tick=each.tick, outcome="skipped", reason="overlap"))
            continue
        execution_id = tick_execution_id(environment, state.key, each.tick)
        if execution_id in existing:
            entries.append(_again(each.tick, execution_id))
            continue
        fire.append(Fire(execution_id, each.tick, each.spec))
        entries.append(_fired(each, execution_id, now))
        live = [*cursor.live, execution_id][-LIVE_MAX:] if overlap != "allow" else []
        cursor, busy = replace(cursor, live=live, last_tick=each.tick), True
    if not entries:
        return Decision(None, [], [], wakes_at(state, state.cursor, now))
    cursor = replace(cursor, buffered=buffered if state.is_live else state.cursor.buffered)
    following = wakes_at(state, cursor, now)
    fact = Ticked(at=now, key=state.key, entries=entries, cursor=cursor, wakes_at=following)
    return Decision(fact, fire, cancel, following)


def backfill_plan(state: Schedule, now: int) -> list[DueTick]:
    """The next ticks of the oldest backfill that is not done. Ask only when `decide` finds nothing due: what is still
    to come in the ordinary way is not made up for.
    """
    request = state.requests[0]
    until = plan(state, now).through
    after = max(request.start - 1, state.cursor.reached or 0)
    return backfill_ticks(state, after, min(request.end, until), BACKFILL_BATCH)


def backfill_ticks(state: Schedule, after: int, until: int, limit: int) -> list[DueTick]:
    """Up to `limit` ticks later than `after` and not later than `until`; pauses do not count."""
    found: list[DueTick] = []
    starts = [min(after, state.eras[0].at), *(era.at for era in state.eras[1:])]
    for index, era in enumerate(state.eras):
        end = min(until, starts[index + 1]) if index + 1 < len(starts) else until
        if era.spec is None:
            continue
        for tick in between(era.spec.rule.ticks, max(after, starts[index]), end):
            if len(found) >= limit:
                return found
            found.append(DueTick(tick, tick, era.spec, "backfilled"))
    return found


def backfill(state: Schedule, environment: str, now: int, existing: Collection[str]) -> Decision:
    """The next piece of the oldest backfill. `existing` are the executions of its ticks that were made already."""
    request = state.requests[0]
    ticks = backfill_plan(state, now)
    entries: list[LedgerEntry] = []
    fire: list[Fire] = []
    for each in ticks:
        if each.tick == state.cursor.buffered:
            continue  # it starts by itself when the way is free
        execution_id = tick_execution_id(environment, state.key, each.tick)
        if execution_id in existing:
            entries.append(_again(each.tick, execution_id))
            continue
        fire.append(Fire(execution_id, each.tick, each.spec))
        entries.append(LedgerEntry(tick=each.tick, outcome="fired", reason="backfilled", execution_id=execution_id))
    done = len(ticks) < BACKFILL_BATCH
    cursor = replace(
        state.cursor,
        request=request.sequence if done else state.cursor.request,
        reached=None if done else ticks[-1].tick,
    )
    following = wakes_at(state, cursor, now)
    fact = Ticked(at=now, key=state.key, entries=entries, cursor=cursor, wakes_at=following)
    return Decision(fact, fire, [], following)


def _spans(state: Schedule, now: int) -> list[tuple[Era, int, int]]:
    """(era, after, until) of the undecided time, in order."""
    spans = []
    for index, era in enumerate(state.eras):
        end = state.eras[index + 1].at if index + 1 < len(state.eras) else now
        low, high = max(era.at, state.cursor.through), min(end, now)
        if low < high:
            spans.append((era, low, high))
    return spans


def _kept(ready: list[DueTick], later: list[DueTick], catch_up: str, now: int) -> tuple[list[DueTick], str]:
    """Those that want an execution, and why the ticks before them are skipped. `later` are kept ones of later eras."""
    missed = [each for each in ready if now - each.due_at > tick_missed_seconds * SECOND]
    recent = ready[len(missed) :]
    room, reason = 0, "missed"
    if catch_up == "latest":
        room = 0 if recent or later else 1
    elif catch_up == "all":
        room, reason = max(0, catch_up_ticks_max - len(recent) - len(later)), "catch_up_cap"
    made_up = [each._replace(reason="caught_up") for each in missed[len(missed) - min(room, len(missed)) :]]
    return [*made_up, *recent], reason


def _skipped(spec: ScheduleSpec, low: int, high: int, reason: str) -> list[LedgerEntry]:
    """One entry for all ticks of the span; none if there are none."""
    source = spec.rule.ticks
    last, _ = last_between(source, low, high, 1)
    if not last:
        return []
    first = source.after(low)
    assert first is not None
    count = count_between(source, low, high, ticks_counted_max)
    until = last[0] if count > 1 else None
    return [LedgerEntry(tick=first, outcome="skipped", reason=reason, count=count, until=until)]


def _held(state: Schedule) -> list[DueTick]:
    """The buffered tick, to be decided before all others."""
    tick = state.cursor.buffered
    spec = state.spec_at(tick) or state.spec if tick is not None else None
    if tick is None or spec is None or not state.is_live:
        return []
    return [DueTick(tick, tick + jitter_of(state.key, tick, spec), spec, "buffered")]


def _again(tick: int, execution_id: str) -> LedgerEntry:
    return LedgerEntry(tick=tick, outcome="skipped", reason="already_fired", execution_id=execution_id)


def _fired(each: DueTick, execution_id: str, now: int) -> LedgerEntry:
    late = max(0, now - each.due_at) // 1000
    outcome = "late" if late > tick_late_milliseconds else "fired"
    return LedgerEntry(tick=each.tick, outcome=outcome, reason=each.reason, execution_id=execution_id, late_ms=late)
