"""Snapshots on a real server: the leader writes them, the next scheduler reads them, wrong ones are passed over."""

import asyncio

import pytest

from eventually import eventually
from penstock.domain.execution import facts as f
from penstock.jetstream.connect import Connection
from penstock.jetstream.objects import Payloads
from penstock.ports import LogEntry
from penstock.wire.codec import encode_fact
from penstock.wire.names import Names
from penstock_scheduler import frames
from penstock_scheduler.times import Times, TimesSnapshots


async def some_times(names: Names, count: int) -> Times:
    """Delayed executions, one for each position of a log."""
    times = Times(names)
    entries = []
    for number in range(1, count + 1):
        fact = f.Enqueued(n=1, at=0, function="f", trace_id=f"{number:032x}", run_at=number)
        entries.append(LogEntry(number, names.fact_subject(f"{number:032x}", "f", "fact"), encode_fact(fact)))
    await times.take(entries)
    return times


async def test_what_is_saved_is_loaded(connection: Connection, environment: Names) -> None:
    """Position and content; a second snapshot takes the place of the first."""
    snapshots = TimesSnapshots(Payloads(connection, environment), environment)
    for count in (3, 5):
        times = await some_times(environment, count)
        await snapshots.save(times)
        loaded = await TimesSnapshots(Payloads(connection, environment), environment).load(end=count)
        assert loaded.position == count
        assert loaded.agenda.entries == times.agenda.entries


async def test_a_snapshot_ahead_of_the_log_is_passed_over(connection: Connection, environment: Names) -> None:
    """Somebody has put back an older log: it is read from its beginning."""
    snapshots = TimesSnapshots(Payloads(connection, environment), environment)
    await snapshots.save(await some_times(environment, 5))
    assert (await snapshots.load(end=4)).position == 0


@pytest.mark.parametrize("stored", [b"", b"\0\0\0\x09something", b"\0\0\0\x10penstock-times-1"])
async def test_what_is_no_snapshot_is_passed_over(connection: Connection, environment: Names, stored: bytes) -> None:
    """Another version, one that was cut off, and one of nothing."""
    payloads = Payloads(connection, environment)
    await payloads.put("times-snapshot", stored)
    assert (await TimesSnapshots(payloads, environment).load(end=9)).position == 0


async def test_an_orderly_end_leaves_a_snapshot_of_the_leader(connection: Connection, environment: Names) -> None:
    """Where enough has happened since the last one; whoever does not lead leaves none."""
    payloads = Payloads(connection, environment)
    times = await some_times(environment, frames.STOP_FACTS_MIN)
    for leads in (False, True):
        looked, stopping = asyncio.Event(), asyncio.Event()

        def look(leads: bool = leads, looked: asyncio.Event = looked) -> bool:
            looked.set()
            return leads

        keeping = asyncio.create_task(TimesSnapshots(payloads, environment).run(times, look, stopping))
        await eventually(looked.is_set)
        stopping.set()
        await keeping
        loaded = await TimesSnapshots(payloads, environment).load(end=times.position)
        assert (loaded.position == times.position) is leads
