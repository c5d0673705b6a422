"""Wake-ups: set, replaced, cleared, listed, taken, and purged once they are settled."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from eventually import eventually
from penstock.jetstream.connect import Connection
from penstock.jetstream.provision import provision
from penstock.jetstream.server import EmbeddedServer
from penstock.jetstream.timers import JetStreamTimers, WakeUp, WakeUps, instant
from penstock.wire.names import Names
from sample_facts import new_id, now

HOUR = 3_600_000_000


@pytest.fixture
def timers(connection: Connection, environment: Names) -> JetStreamTimers:
    return JetStreamTimers(connection, environment)


@pytest.fixture
async def wake_ups(connection: Connection, environment: Names) -> AsyncIterator[WakeUps]:
    wake_ups = WakeUps(connection, environment)
    yield wake_ups
    await wake_ups.stop()


async def take(wake_ups: WakeUps, limit: int = 100) -> list[WakeUp]:
    return await asyncio.wait_for(wake_ups.take(limit), 10)


def test_instants_keep_every_microsecond() -> None:
    """A wake-up a microsecond early would be one too early."""
    assert instant(1_795_308_974_000_001) == "2026-11-22T00:56:14.000001Z"
    assert instant(1_795_308_974_999_999) == "2026-11-22T00:56:14.999999Z"


async def test_a_wake_up_comes_when_it_is_due_and_not_before(timers: JetStreamTimers, wake_ups: WakeUps) -> None:
    """It names the execution and the wait."""
    one, due = new_id(), now() + 300_000
    await timers.set(one, "retry-1", due)
    [fired] = await take(wake_ups)
    assert now() >= due
    assert (fired.execution_id, fired.wait) == (one, "retry-1")


async def test_setting_it_again_replaces_it(timers: JetStreamTimers, wake_ups: WakeUps) -> None:
    """An execution that is rescheduled wakes at the new time only."""
    one = new_id()
    await timers.set(one, "w", now() + HOUR)
    await timers.set(one, "w", now() + 100_000)
    [fired] = await take(wake_ups)
    assert fired.execution_id == one
    assert await timers.all_pending() == frozenset()


async def test_waits_of_one_execution_do_not_disturb_each_other(timers: JetStreamTimers, wake_ups: WakeUps) -> None:
    """Each has a subject of its own."""
    one = new_id()
    await timers.set(one, "a", now() + HOUR)
    await timers.set(one, "b", now())
    [fired] = await take(wake_ups)
    assert fired.wait == "b"
    assert await timers.pending(one, "a")


async def test_a_cleared_wake_up_does_not_come(timers: JetStreamTimers, wake_ups: WakeUps) -> None:
    """And clearing what is not there is no error."""
    one, other = new_id(), new_id()
    await timers.set(one, "w", now() + 200_000)
    await timers.clear(one, "w")
    await timers.clear(one, "never-set")
    assert not await timers.pending(one, "w")
    await timers.set(other, "w", now() + 400_000)
    assert [each.execution_id for each in await take(wake_ups)] == [other]


async def test_the_sweep_sees_all_that_is_pending(timers: JetStreamTimers) -> None:
    """What is in the log and not here must be set again."""
    expected = {(new_id(), f"w{number}") for number in range(20)}
    await asyncio.gather(*(timers.set(one, wait, now() + HOUR) for one, wait in expected))
    assert await timers.all_pending() == expected


async def test_an_unacknowledged_wake_up_comes_again(
    timers: JetStreamTimers, wake_ups: WakeUps, connection: Connection, environment: Names
) -> None:
    """Also at another scheduler."""
    one = new_id()
    await timers.set(one, "w", now())
    [fired] = await take(wake_ups)
    await fired.give_back()
    await wake_ups.stop()
    elsewhere = WakeUps(connection, environment)
    [again] = await take(elsewhere)
    assert again.execution_id == one
    await again.ack()
    await elsewhere.stop()


async def test_settled_wake_ups_are_purged_and_others_stay(
    timers: JetStreamTimers, wake_ups: WakeUps, connection: Connection, environment: Names
) -> None:
    """The stream holds what is to come, not what has been."""
    settled, open_, later = new_id(), new_id(), new_id()
    await timers.set(later, "w", now() + HOUR)
    await timers.set(settled, "w", now())
    [first] = await take(wake_ups)
    await timers.set(open_, "w", now())
    [second] = await take(wake_ups)
    assert (first.execution_id, second.execution_id) == (settled, open_)
    await first.ack()
    await eventually(lambda: _floor(connection, environment))
    await timers.purge_fired()
    assert await timers.pending(later, "w")
    info = await connection.js.stream_info(environment.timers, ">")
    assert set(info.state.subjects or {}) == {
        environment.timer_subject(later, "w"),
        environment.wake_subject(open_, "w"),
    }


async def test_wake_ups_are_shared_between_schedulers(
    timers: JetStreamTimers, nats_server: EmbeddedServer, environment: Names
) -> None:
    """Each comes to one of them."""
    expected = {new_id() for _ in range(40)}
    connections = [Connection(str(number)) for number in range(2)]
    for each in connections:
        await each.open(nats_server.url)
    copies = [WakeUps(each, environment) for each in connections]
    seen: list[str] = []

    async def work(copy: WakeUps) -> None:
        while taken := await copy.take(5):
            for each in taken:
                seen.append(each.execution_id)
                await each.ack()

    working = [asyncio.create_task(work(copy)) for copy in copies]
    await asyncio.gather(*(timers.set(one, "w", now()) for one in expected))
    await eventually(lambda: len(seen) >= len(expected))
    assert sorted(seen) == sorted(expected)
    for copy in copies:
        await copy.stop()
    await asyncio.gather(*working)
    for each in connections:
        await each.close()


async def test_wake_ups_survive_a_restart_of_the_server(own_server: EmbeddedServer) -> None:
    """Those that became due meanwhile come after the restart, the others at their time."""
    names = Names()
    connection = Connection("test")
    await connection.open(own_server.url)
    await provision(connection, names)
    timers, wake_ups = JetStreamTimers(connection, names), WakeUps(connection, names)
    overdue, later = new_id(), new_id()
    due = now() + 300_000
    taking = asyncio.create_task(wake_ups.take(1))
    await eventually(lambda: _is_consumed(connection, names))
    await timers.set(overdue, "w", due)
    await timers.set(later, "w", now() + HOUR)
    await own_server.stop()
    await eventually(lambda: now() > due)
    before = time.monotonic()
    await own_server.start()
    [fired] = await asyncio.wait_for(taking, 10)
    assert fired.execution_id == overdue
    assert time.monotonic() - before < 8
    assert await timers.pending(later, "w")
    await wake_ups.stop()
    await connection.close()


async def _is_consumed(connection: Connection, names: Names) -> bool:
    return (await connection.js.stream_info(names.timers)).state.consumer_count > 0


async def _floor(connection: Connection, names: Names) -> bool:
    info = await connection.js.consumer_info(names.timers, names.wake_consumer)
    return bool(info.ack_floor and info.ack_floor.stream_seq)
