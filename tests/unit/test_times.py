"""Agenda and calendar through their snapshot: what is read back is what the whole log would have told."""

import random
from collections.abc import AsyncIterator

from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.execution import facts as f
from penstock.domain.schedule import facts as sf
from penstock.ports import LogEntry
from penstock.wire.codec import decode_schedule_fact, encode_fact, encode_schedule_fact
from penstock.wire.names import Names
from penstock_scheduler.times import PART_ROWS, Times
from schedules import spec

NAMES = Names("test")
SECOND = 1_000_000
SPEC = spec()
SHOP = replace(SPEC, app="shop")


async def frames_of(times: Times) -> list[bytes]:
    return (await times.dump())[1]


async def restored(times: Times) -> Times:
    """By way of the snapshot."""
    position, frames = await times.dump()

    async def source() -> AsyncIterator[bytes]:
        for frame in frames:
            yield frame

    again = await Times(NAMES).restore(source())
    assert again.position == position
    return again


def history(count: int, seed: int = 1) -> list[LogEntry]:
    """Executions of all kinds, each some way through its life, mixed with schedules."""
    dice, entries = random.Random(seed), list[LogEntry]()

    def add(subject: str, data: bytes) -> None:
        entries.append(LogEntry(len(entries) + 1, subject, data))

    def fact(number: int, what: f.AnyFact) -> None:
        add(NAMES.fact_subject(f"{number:032x}", "f", "fact"), encode_fact(what))

    for number in range(count):
        run_at, discard_at = dice.choice([None, SECOND * number]), dice.choice([None, 2 * SECOND * number])
        trace = f"{number:032x}"
        fact(number, f.Enqueued(n=1, at=0, function="f", trace_id=trace, run_at=run_at, discard_at=discard_at))
    for number in range(count):
        steps = dice.randrange(5)
        if steps > 0:
            fact(number, f.Due(n=2, at=1) if dice.random() < 0.5 else f.Rescheduled(n=2, at=1, run_at=7 * SECOND))
        if steps > 1:
            fact(number, f.Started(n=3, at=2, activation=2, attempt=1, runner=f"r{number % 3}"))
        if steps > 2:
            error = f.ErrorInfo(code="user_error")
            fact(number, f.RetryScheduled(n=4, at=3, attempt=1, error=error, retry_at=9 * SECOND))
        if steps > 3:
            fact(number, f.Cancelled(n=5, at=4))
    for number in range(count):
        key = f"s{number}"
        put = sf.SchedulePut(at=0, key=key, spec=dice.choice([SPEC, SHOP]), wakes_at=number * SECOND)
        add(NAMES.schedule_subject(key, "fact"), encode_schedule_fact(put))
        if number % 3 == 0:
            cursor = sf.Cursor(through=0, live=[f"{number:032x}"], buffered=dice.choice([None, 5]))
            tick = sf.Ticked(at=0, key=key, entries=[], cursor=cursor, wakes_at=dice.choice([None, 8 * SECOND]))
            add(NAMES.schedule_subject(key, "tick"), encode_schedule_fact(tick))
        if number % 5 == 0:
            add(NAMES.schedule_subject(key, "fact"), encode_schedule_fact(sf.SchedulePaused(at=1, key=key)))
    declared = sf.SchedulesDeclared(at=1, app="shop", schedules={"s1": SHOP}, version="1", runner="r1")
    add(NAMES.system_subject("schedules_declared", "shop"), encode_schedule_fact(declared))
    return entries


async def test_a_snapshot_and_the_tail_are_the_whole_log() -> None:
    """Wherever the snapshot was taken, the same is known afterwards, and the same is due."""
    log = history(60)
    zero = Times(NAMES)
    await zero.take(log)
    for cut in range(0, len(log), 17):
        early = Times(NAMES)
        await early.take(log[:cut])
        times = await restored(early)
        await times.take(log[cut:])
        assert await frames_of(times) == await frames_of(zero)
        assert times.agenda.owned == zero.agenda.owned
        assert {e.execution_id for e in times.agenda.to_check(500)} == _waits(zero)
        assert {e.execution_id for e in times.agenda.due(8 * SECOND, 500)} == _due(zero)
        assert sorted(times.calendar.due(30 * SECOND, 500)) == _due_schedules(log)


async def test_many_are_written_in_several_parts() -> None:
    """None is lost between them."""
    times = Times(NAMES)
    await times.take(history(PART_ROWS + 50))
    again = await restored(times)
    assert await frames_of(again) == await frames_of(times)
    assert len(again.calendar.times) > PART_ROWS // 2


def _waits(times: Times) -> set[str]:
    return {e.execution_id for e in times.agenda.entries.values() if e.wakes_at is not None}


def _due(times: Times) -> set[str]:
    entries = times.agenda.entries.values()
    soon = [e for e in entries if not e.owner and min(e.wakes_at or 2**62, e.discard_at or 2**62) <= 8 * SECOND]
    return {e.execution_id for e in soon}


def _due_schedules(log: list[LogEntry]) -> list[str]:
    """As the plain reading of the history gives them."""
    times: dict[str, int | None] = {}
    for _, subject, data in log:
        parsed = NAMES.parse_schedule_subject(subject)
        if parsed is not None:
            fact = decode_schedule_fact(data)
            paused = isinstance(fact, sf.SchedulePaused)
            times[parsed[0]] = None if paused else fact.wakes_at  # type: ignore[union-attr]
    return sorted(key for key, when in times.items() if when is not None and when <= 30 * SECOND)


async def test_durable_executions_are_read_back_with_what_they_wait_for() -> None:
    """Times, events, and children that others have made."""
    parent, child = f"{1:032x}", f"{2:032x}"
    event = f.Wait(key="paid", wait="event", name="order.paid", match={"id": Raw(b"7")}, until=9 * SECOND)
    facts: list[f.AnyFact] = [
        f.Enqueued(n=1, at=0, function="f", trace_id=parent),
        f.Started(n=2, at=1, activation=1, attempt=1, runner="r1"),
        f.ChildCalled(n=3, at=2, call="add", children=[f.Child(id=child, function="add")]),
        f.WaitOpened(n=4, at=3, waits=[event], suspends=True, wakes_at=9 * SECOND),
    ]
    entries = [
        LogEntry(sequence, NAMES.fact_subject(parent, "f", "fact"), encode_fact(fact))
        for sequence, fact in enumerate(facts, start=1)
    ]
    times = Times(NAMES)
    await times.take(entries)
    again = await restored(times)
    assert child in again.agenda.shared
    assert [entry.execution_id for entry in again.agenda.due(9 * SECOND, 10)] == [parent]
    assert again.agenda.entries[parent] == times.agenda.entries[parent]
    assert await frames_of(again) == await frames_of(times)
