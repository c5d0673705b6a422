"""What event waits rely on in the server: events read by name, several names followed, and the end known."""

import asyncio

import pytest

from penstock.jetstream.api import ApiRefused, request
from penstock.jetstream.connect import Connection
from penstock.jetstream.inbox import EventInbox
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.stored_events import BATCH, MESSAGE_UNKNOWN, StoredEvent, StoredEvents
from penstock.wire.names import Names


@pytest.fixture
def events(connection: Connection, environment: Names) -> StoredEvents:
    return StoredEvents(connection, environment)


async def publish(connection: Connection, names: Names, name: str, count: int) -> list[int]:
    """So many events of this name, one after the other on the wire."""
    publisher = Publisher(connection)
    sent = [await publisher.send(names.event_subject(name), b"%d" % n, {"Some": "Header"}) for n in range(count)]
    return [(await each).seq for each in sent]


async def taken(events: StoredEvents, names: list[str], after: int, count: int) -> list[StoredEvent]:
    """The first events that are followed."""
    found: list[StoredEvent] = []
    source = events.follow(names, after)
    async with asyncio.timeout(10):
        while len(found) < count:
            found += await anext(source)
    await source.aclose()
    return found


async def test_the_events_of_several_names_are_followed_in_the_order_of_the_stream(
    connection: Connection, environment: Names, events: StoredEvents
) -> None:
    """From a position on, without those of other names."""
    a = await publish(connection, environment, "a", 5)
    await publish(connection, environment, "a.b", 5)
    b = await publish(connection, environment, "b", 5)
    again = await publish(connection, environment, "a", 5)
    found = await taken(events, ["a", "b"], a[1], 13)
    assert [event.sequence for event in found] == [*a[2:], *b, *again]
    assert [event.name for event in found] == ["a"] * 3 + ["b"] * 5 + ["a"] * 5


async def test_stored_events_are_read_up_to_their_end(
    connection: Connection, environment: Names, events: StoredEvents
) -> None:
    """In batches; the last one says that it is the last."""
    positions = await publish(connection, environment, "a", BATCH + 10)
    await publish(connection, environment, "b", 3)
    first, is_all = await events.read("a", 0)
    assert ([event.sequence for event in first], is_all) == (positions[:BATCH], False)
    rest, is_all = await events.read("a", first[-1].sequence)
    assert ([event.sequence for event in rest], is_all) == (positions[BATCH:], True)
    assert await events.read("a", positions[-1]) == ([], True)
    assert await events.read("never", 0) == ([], True)
    assert await events.last() == positions[-1] + 3


async def test_an_event_is_the_same_however_it_is_read(
    connection: Connection, environment: Names, events: StoredEvents
) -> None:
    """Its id may be made of position and time: both ways, and in ingest, they are equal to the microsecond."""
    await publish(connection, environment, "a", 3)
    read, _ = await events.read("a", 0)
    assert read == await taken(events, ["a"], 0, 3)
    assert read[0].headers == {"some": "Header"}
    inbox = EventInbox(connection, environment)
    published = (await inbox.take(10))[0]
    await inbox.stop()
    assert (published.sequence, published.received_at) == (read[0].sequence, read[0].received_at)


async def test_the_leader_says_that_nothing_more_is_there(connection: Connection, environment: Names) -> None:
    """With a code of its own, which is no other trouble."""
    await publish(connection, environment, "a", 1)
    subject = f"$JS.API.STREAM.MSG.GET.{environment.events}"
    found = await request(connection, subject, {"seq": 1, "next_by_subj": environment.event_subject("a")})
    assert found["message"]["seq"] == 1
    with pytest.raises(ApiRefused) as refusal:
        await request(connection, subject, {"seq": 2, "next_by_subj": environment.event_subject("a")})
    assert refusal.value.code == MESSAGE_UNKNOWN
