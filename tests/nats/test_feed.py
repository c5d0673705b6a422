"""One follower for all readers of a process, and none of them misses or repeats an entry."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from eventually import eventually
from penstock.jetstream import follow, pull
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.ports import LogEntry
from penstock.wire.names import Names
from sample_facts import entry, new_id


@pytest.fixture
async def feed(log: JetStreamLog) -> AsyncIterator[Feed]:
    feed = Feed(log)
    yield feed
    await feed.close()


class Reader:
    """Reads in a task of its own; `pause` makes it slow."""

    def __init__(self, feed: Feed, after: int, patient: bool = False) -> None:
        self.sequences: list[int] = []
        self.going = asyncio.Event()
        self.going.set()
        self.task = asyncio.create_task(
            self._read(feed.subscribe_patiently(after) if patient else feed.subscribe(after))
        )

    async def _read(self, batches: AsyncIterator[list[LogEntry]]) -> None:
        async for batch in batches:
            self.sequences.extend(each.sequence for each in batch)
            await self.going.wait()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def append(log: JetStreamLog, count: int) -> None:
    await log.append_many([entry(new_id()) for _ in range(count)])


async def test_readers_that_begin_at_different_places_see_all_after_theirs(feed: Feed, log: JetStreamLog) -> None:
    """Each in order, whether it came first or last."""
    await append(log, 20)
    first = Reader(feed, 20)
    await append(log, 5)
    await eventually(lambda: len(first.sequences) == 5)
    late, middle = Reader(feed, 0), Reader(feed, 10)
    await append(log, 5)
    await eventually(lambda: len(late.sequences) == 30 and len(middle.sequences) == 20 and len(first.sequences) == 10)
    assert first.sequences == list(range(21, 31))
    assert late.sequences == list(range(1, 31))
    assert middle.sequences == list(range(11, 31))
    for reader in (first, late, middle):
        await reader.stop()


async def test_readers_share_one_consumer(
    feed: Feed, log: JetStreamLog, connection: Connection, environment: Names
) -> None:
    """The log is sent once to a process, however many parts of it read."""
    readers = [Reader(feed, 0) for _ in range(4)]
    await append(log, 10)
    await eventually(lambda: all(len(each.sequences) == 10 for each in readers))
    info = await connection.js.stream_info(environment.executions)
    assert info.state.consumer_count == 1
    for reader in readers:
        await reader.stop()


@pytest.mark.parametrize("room", [{"seat_entries_max": 10}, {"seat_bytes_max": 1000}])
async def test_a_slow_reader_holds_up_nobody_and_misses_nothing(log: JetStreamLog, room: dict[str, int]) -> None:
    """It is left behind after so many entries or bytes, and catches up alone."""
    feed = Feed(log, **room)
    slow, quick = Reader(feed, 0), Reader(feed, 0)
    await append(log, 1)
    await eventually(lambda: slow.sequences and quick.sequences)
    slow.going.clear()
    count = 1
    for _ in range(50):
        await append(log, 1)
        count += 1
        await eventually(lambda: len(quick.sequences) == count)  # noqa: B023 - called within this turn only
    assert len(slow.sequences) < count
    slow.going.set()
    await eventually(lambda: len(slow.sequences) == count)
    await append(log, 3)
    await eventually(lambda: len(slow.sequences) == len(quick.sequences) == count + 3)
    assert slow.sequences == quick.sequences == list(range(1, count + 4))
    for reader in (slow, quick):
        await reader.stop()
    await feed.close()


async def test_a_reader_that_stood_still_for_long_goes_on_where_it_was(
    log: JetStreamLog, connection: Connection, environment: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has forgotten its consumer by then."""
    monkeypatch.setattr(follow, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(pull, "EXPIRES_SECONDS", 0.3)
    await append(log, 3)
    batches = log.follow(0)
    sequences = [each.sequence for each in await anext(batches)]
    consumers = 1
    async with asyncio.timeout(20):
        while consumers:
            consumers = (await connection.js.stream_info(environment.executions)).state.consumer_count
    # On a busy machine the next one would be forgotten before anything is ordered from it.
    monkeypatch.undo()
    await append(log, 2000)
    async with asyncio.timeout(20):
        while len(sequences) < 2003:
            sequences += [each.sequence for each in await anext(batches)]
    assert sequences == list(range(1, 2004))


async def test_a_patient_reader_lets_urgent_work_go_first_but_not_for_ever(feed: Feed, log: JetStreamLog) -> None:
    """It reads when the pressure has gone, and after a while in any case."""
    pressed = True
    feed.is_pressed = lambda: pressed
    patient, other = Reader(feed, 0, patient=True), Reader(feed, 0)
    await append(log, 3)
    await eventually(lambda: len(other.sequences) == 3)
    assert not patient.sequences
    await eventually(lambda: len(patient.sequences) == 3)
    pressed = False
    await append(log, 3)
    await eventually(lambda: patient.sequences == other.sequences == list(range(1, 7)))
    for reader in (patient, other):
        await reader.stop()


async def test_a_reader_may_leave_and_another_come(feed: Feed, log: JetStreamLog) -> None:
    """Also when the one that left was the last."""
    first = Reader(feed, 0)
    await append(log, 3)
    await eventually(lambda: len(first.sequences) == 3)
    await first.stop()
    second = Reader(feed, 1)
    await append(log, 2)
    await eventually(lambda: len(second.sequences) == 4)
    assert second.sequences == [2, 3, 4, 5]
    await second.stop()
