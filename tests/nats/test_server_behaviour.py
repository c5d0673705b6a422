"""What we rely on in the server, and what we avoid because of it: checked on the pinned version with every run."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
import nats.aio.msg
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from eventually import eventually
from penstock.jetstream.connect import Connection
from penstock.jetstream.follow import follow
from penstock.jetstream.publisher import PubAck, Publisher
from penstock.jetstream.server import EmbeddedServer
from penstock.jetstream.timers import instant
from penstock.ports import Conflict, Unavailable
from penstock.wire import names as wire
from penstock.wire.names import Names
from sample_facts import new_id


@pytest.fixture
def publisher(connection: Connection) -> Publisher:
    """Raw publishing, without the log around it."""
    return Publisher(connection)


@pytest.fixture
async def stream(connection: Connection) -> AsyncIterator[str]:
    """A stream with the usual duplicate window of two minutes."""
    name = f"S-{uuid.uuid4().hex[:12]}"
    await connection.js.add_stream(StreamConfig(name=name, subjects=[f"{name}.>"], duplicate_window=120))
    yield name
    await connection.js.delete_stream(name)


def expecting(names: Names, execution_id: str, sequence: int) -> dict[str, str]:
    return {
        wire.EXPECTED_SEQUENCE: str(sequence),
        wire.EXPECTED_SUBJECT: names.history_filter(execution_id),
    }


async def batch(publisher: Publisher, messages: list[tuple[str, dict[str, str]]]) -> PubAck:
    """Publish as one atomic batch."""
    batch_id = uuid.uuid4().hex
    for number, (subject, headers) in enumerate(messages, 1):
        headers = {**headers, wire.BATCH_ID: batch_id, wire.BATCH_SEQUENCE: str(number)}
        if number < len(messages):
            await publisher._connection.nc.publish(subject, b"{}", headers=headers)
        else:
            answer = await publisher.send(subject, b"{}", {**headers, wire.BATCH_COMMIT: "1"})
    return await answer


async def stored(connection: Connection, stream: str) -> int:
    return (await connection.js.stream_info(stream)).state.messages


# Expected sequences.


async def test_an_expectation_with_a_filter_covers_all_subjects_of_an_execution(
    publisher: Publisher, environment: Names
) -> None:
    """A fact on another subject of the execution moves the sequence that must be expected."""
    one = new_id()
    first = await publisher.publish(environment.fact_subject(one, "add", "run"), b"{}", expecting(environment, one, 0))
    with pytest.raises(Conflict):
        await publisher.publish(environment.fact_subject(one, "add", "fact"), b"{}", expecting(environment, one, 0))
    await publisher.publish(environment.fact_subject(one, "add", "fact"), b"{}", expecting(environment, one, first))


async def test_an_expectation_without_a_filter_looks_at_one_subject_only(
    publisher: Publisher, environment: Names
) -> None:
    """Which would let a second history begin beside the first."""
    one = new_id()
    await publisher.publish(environment.fact_subject(one, "add", "run"), b"{}")
    await publisher.publish(environment.fact_subject(one, "add", "fact"), b"{}", {wire.EXPECTED_SEQUENCE: "0"})


async def test_of_many_creations_at_once_one_wins(nats_server: EmbeddedServer, environment: Names) -> None:
    """Expecting 0 creates once, whoever else tries at the same moment."""
    one = new_id()
    connections = [Connection(str(number)) for number in range(4)]
    for each in connections:
        await each.open(nats_server.url)
    tries = [
        Publisher(each).publish(environment.fact_subject(one, "add", "run"), b"{}", expecting(environment, one, 0))
        for each in connections * 5
    ]
    verdicts = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(verdict, int) for verdict in verdicts) == 1
    assert sum(isinstance(verdict, Conflict) for verdict in verdicts) == len(tries) - 1
    for each in connections:
        await each.close()


async def test_a_lane_expects_its_own_last_sequence(publisher: Publisher, environment: Names) -> None:
    """A stale scheduler is refused on the literal subject of its lane."""
    lane = environment.system_subject("lane", "all")
    first = await publisher.publish(lane, b"{}", {wire.EXPECTED_SEQUENCE: "0"})
    await publisher.publish(lane, b"{}", {wire.EXPECTED_SEQUENCE: str(first)})
    with pytest.raises(Conflict):
        await publisher.publish(lane, b"{}", {wire.EXPECTED_SEQUENCE: str(first)})


# Atomic batches.


async def test_a_batch_is_stored_whole_or_not_at_all(
    connection: Connection, publisher: Publisher, environment: Names
) -> None:
    """One wrong expectation refuses everything beside it."""
    old, new = new_id(), new_id()
    await publisher.publish(environment.fact_subject(old, "add", "run"), b"{}")
    creations = [(environment.fact_subject(each, "add", "run"), expecting(environment, each, 0)) for each in (new, old)]
    with pytest.raises(Conflict):
        await batch(publisher, creations)
    assert await stored(connection, environment.executions) == 1
    acknowledged = await batch(publisher, [*creations[:1], (environment.fact_subject(old, "add", "fact"), {})])
    assert acknowledged.count == 2
    assert await stored(connection, environment.executions) == 3


async def test_a_batch_without_a_commit_stores_nothing(
    connection: Connection, publisher: Publisher, environment: Names
) -> None:
    """A process that dies half way leaves no half."""
    headers = {wire.BATCH_ID: uuid.uuid4().hex, wire.BATCH_SEQUENCE: "1"}
    await connection.nc.publish(environment.fact_subject(new_id(), "add", "run"), b"{}", headers=headers)
    await publisher.publish(environment.system_subject("mark", "1"), b"{}")
    assert await stored(connection, environment.executions) == 1


async def test_two_creations_of_one_execution_in_one_batch_are_both_stored(
    connection: Connection, publisher: Publisher, environment: Names
) -> None:
    """Expectations do not see the rest of their batch, so that one may hold one append per execution only."""
    one = new_id()
    subjects = [environment.fact_subject(one, "add", kind) for kind in ("run", "fact")]
    await batch(publisher, [(subject, expecting(environment, one, 0)) for subject in subjects])
    assert await stored(connection, environment.executions) == 2


# Message ids.


async def test_a_message_id_is_taken_for_a_duplicate_across_subjects(
    connection: Connection, publisher: Publisher, stream: str
) -> None:
    """The second is acknowledged and not stored: accepted work would vanish. So we never send `Nats-Msg-Id`."""
    headers = {wire.MSG_ID: "order-7"}
    first = await publisher.publish(f"{stream}.f", b"{}", headers)
    assert await publisher.publish(f"{stream}.g", b"{}", headers) == first
    assert await stored(connection, stream) == 1


async def test_our_streams_keep_the_window_for_duplicates_at_its_minimum(
    connection: Connection, environment: Names
) -> None:
    """Clients of the outside do send such ids."""
    for name in environment.all_streams():
        info = await connection.js.stream_info(name)
        assert info.config.duplicate_window == pytest.approx(0.1), name


# Schedules. What they fire goes into the stream only; a core subscriber does not hear it.


class Fired(NamedTuple):
    subject: str
    at: float
    data: bytes


@pytest.fixture
async def fired(connection: Connection, environment: Names) -> AsyncIterator[list[Fired]]:
    """What has fired so far, in order, with the time at which it was seen."""
    seen: list[Fired] = []

    async def watch() -> None:
        async for entries in follow(connection, environment.timers, 0):
            now = time.time()
            wakes = [each for each in entries if environment.parse_wake_subject(each.subject)]
            seen.extend(Fired(each.subject, now, each.data) for each in wakes)

    watching = asyncio.create_task(watch())
    yield seen
    watching.cancel()
    await asyncio.wait({watching})


async def scheduled(
    publisher: Publisher, names: Names, wait: str, delay: float, mark: bytes = b""
) -> tuple[str, float]:
    """Set a wake-up; (execution id, when it is due)."""
    one = new_id()
    return one, await reschedule(publisher, names, one, wait, delay, mark)


async def reschedule(publisher: Publisher, names: Names, one: str, wait: str, delay: float, mark: bytes = b"") -> float:
    at = time.time() + delay
    headers = {wire.SCHEDULE: f"@at {instant(int(at * 1e6))}", wire.SCHEDULE_TARGET: names.wake_subject(one, wait)}
    await publisher.publish(names.timer_subject(one, wait), mark, headers)
    return at


async def test_a_schedule_fires_never_early_and_soon_after(
    publisher: Publisher, environment: Names, fired: list[Fired]
) -> None:
    """Within a quarter of a second on a quiet server; a whole one is allowed here."""
    due = {}
    for number in range(8):
        one, at = await scheduled(publisher, environment, f"w{number}", 0.2 + number * 0.07)
        due[environment.wake_subject(one, f"w{number}")] = at
    await eventually(lambda: len(fired) == len(due))
    for each in fired:
        assert 0 <= each.at - due[each.subject] < 1


async def test_a_second_schedule_on_a_subject_replaces_the_first(
    connection: Connection, publisher: Publisher, environment: Names, fired: list[Fired]
) -> None:
    """Which is why each wait has a subject of its own."""
    one, _ = await scheduled(publisher, environment, "w", 0.3, b"first")
    await reschedule(publisher, environment, one, "w", 0.6, b"second")
    await eventually(lambda: fired)
    assert [each.data for each in fired] == [b"second"]
    assert await stored(connection, environment.timers) == 1  # the fired one; no schedule is left


async def test_purging_the_subject_of_a_schedule_cancels_it(
    connection: Connection, publisher: Publisher, environment: Names, fired: list[Fired]
) -> None:
    """Only a later one fires."""
    one, _ = await scheduled(publisher, environment, "w", 0.3)
    await connection.js.purge_stream(environment.timers, subject=environment.timer_subject(one, "w"))
    other, _ = await scheduled(publisher, environment, "w", 0.7)
    await eventually(lambda: fired)
    assert [each.subject for each in fired] == [environment.wake_subject(other, "w")]


async def test_a_schedule_in_the_past_fires_at_once(
    publisher: Publisher, environment: Names, fired: list[Fired]
) -> None:
    """The repair sweep may set wake-ups that are overdue."""
    one, _ = await scheduled(publisher, environment, "w", -3600)
    assert (await eventually(lambda: fired))[0].subject == environment.wake_subject(one, "w")


async def test_a_target_outside_the_stream_is_refused(publisher: Publisher, environment: Names) -> None:
    """A timer cannot write into the log."""
    headers = {
        wire.SCHEDULE: "@at 2030-01-01T00:00:00Z",
        wire.SCHEDULE_TARGET: environment.fact_subject(new_id(), "add", "run"),
    }
    with pytest.raises(Unavailable, match="10190"):
        await publisher.publish(environment.timer_subject(new_id(), "w"), b"", headers)


# Consumers.


async def test_the_acknowledgement_of_a_zombie_is_accepted(
    connection: Connection, publisher: Publisher, stream: str
) -> None:
    """Acknowledgements are no fence: whoever lost an item can still settle it for its new holder."""
    await publisher.publish(f"{stream}.work", b"{}")
    config = ConsumerConfig(durable_name="c", ack_policy=AckPolicy.EXPLICIT, ack_wait=0.3)
    await connection.js.add_consumer(stream, config)
    subscription = await connection.js.pull_subscribe_bind("c", stream)
    [zombies] = await subscription.fetch(1, timeout=5)
    [again] = await subscription.fetch(1, timeout=5)
    assert again.metadata.num_delivered == 2
    await zombies.ack_sync(timeout=5)
    assert (await connection.js.consumer_info(stream, "c")).num_ack_pending == 0
    await subscription.unsubscribe()


async def test_the_limit_of_unacknowledged_items_holds_over_all_clients(
    nats_server: EmbeddedServer, connection: Connection, publisher: Publisher, stream: str
) -> None:
    """It can be the concurrency limit of a function, and changes live in both directions."""
    for number in range(6):
        await publisher.publish(f"{stream}.{number}", b"{}")
    config = ConsumerConfig(durable_name="c", ack_policy=AckPolicy.EXPLICIT, max_ack_pending=3)
    await connection.js.add_consumer(stream, config)
    other = Connection("other")
    await other.open(nats_server.url)
    here = await connection.js.pull_subscribe_bind("c", stream)
    there = await other.js.pull_subscribe_bind("c", stream)
    held = [*await here.fetch(2, timeout=5), *await there.fetch(1, timeout=5)]
    assert len(held) == 3
    with pytest.raises(asyncio.TimeoutError):
        await there.fetch(1, timeout=0.2)
    config.max_ack_pending = 4
    await connection.js.add_consumer(stream, config)
    held += await there.fetch(1, timeout=5)
    config.max_ack_pending = 2
    await connection.js.add_consumer(stream, config)
    for message in held[:2]:
        await message.ack_sync(timeout=5)
    with pytest.raises(asyncio.TimeoutError):
        await here.fetch(1, timeout=0.2)
    await here.unsubscribe()
    await there.unsubscribe()
    await other.close()


async def test_a_core_subscriber_hears_facts_that_were_refused(
    connection: Connection, publisher: Publisher, environment: Names
) -> None:
    """Which is why nobody reads the log by core subscription."""
    one = new_id()
    heard: list[bytes] = []

    async def on_fact(message: nats.aio.msg.Msg) -> None:
        heard.append(message.data)

    await connection.nc.subscribe(environment.history_filter(one), cb=on_fact)
    with pytest.raises(Conflict):
        await publisher.publish(
            environment.fact_subject(one, "add", "run"), b'"refused"', expecting(environment, one, 7)
        )
    assert await eventually(lambda: heard) == [b'"refused"']
    assert await stored(connection, environment.executions) == 0


async def test_a_message_over_the_limit_is_refused_before_it_is_sent(publisher: Publisher, environment: Names) -> None:
    """The connection survives it."""
    with pytest.raises(Unavailable, match="larger than the server takes"):
        await publisher.publish(environment.event_subject("big"), b"x" * (1024 * 1024 + 1))
    await publisher.publish(environment.event_subject("small"), b"{}")


def test_the_answer_of_a_batch_names_its_size() -> None:
    """The form that the server uses, as the publisher reads it."""
    answer = msgspec.json.decode(b'{"stream":"S","seq":4,"batch":"b","count":2}', type=PubAck)
    assert (answer.seq, answer.count) == (4, 2)
