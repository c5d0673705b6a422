"""Headers that nobody reads are not parsed, and all others are."""

import pytest
from nats.errors import ConnectionClosedError, MaxPayloadError

from penstock.jetstream.connect import Connection
from penstock.jetstream.follow import follow
from penstock.jetstream.lean import LeanClient, command
from penstock.jetstream.log import JetStreamLog
from penstock.wire.names import EXPECTED_SEQUENCE, Names
from sample_facts import FUNCTION, entry, new_id


async def test_a_delivered_fact_has_no_headers(connection: Connection) -> None:
    """The expectation of its append matters to the server only."""
    assert isinstance(connection.nc, LeanClient)
    stored = f"NATS/1.0\r\n{EXPECTED_SEQUENCE}: 0\r\nNats-Batch-Id: b\r\n\r\n".encode()
    assert await connection.nc._process_headers(stored) is None


async def test_a_fired_wake_up_has_no_headers(connection: Connection) -> None:
    """Its subject says whom to wake."""
    fired = b"NATS/1.0\r\nNats-Scheduler: penstock.dev.timer.a.start\r\nNats-Schedule-Next: purge\r\n\r\n"
    assert await connection.nc._process_headers(fired) is None


async def test_other_headers_are_parsed(connection: Connection) -> None:
    """Statuses tell when a pull has ended, and triggers bring their own."""
    assert (await connection.nc._process_headers(b"NATS/1.0 408 Request Timeout\r\n\r\n"))["Status"] == "408"
    sent = b"NATS/1.0\r\ntraceparent: 00-a\r\n\r\n"
    assert await connection.nc._process_headers(sent) == {"traceparent": "00-a"}


async def test_a_read_fact_keeps_its_place(log: JetStreamLog) -> None:
    """A direct get says subject and sequence in headers after those of the append."""
    one = new_id()
    sequence = await log.append(entry(one))
    assert [(each.sequence, each.execution_id) for each in await log.read(one, FUNCTION)] == [(sequence, one)]


async def test_a_follower_needs_no_headers(log: JetStreamLog, connection: Connection, environment: Names) -> None:
    """Subject, sequence and data are all there."""
    one = new_id()
    sequence = await log.append(entry(one))
    async for batch in follow(connection, environment.executions, 0):
        assert [(each.sequence, each.subject) for each in batch] == [
            (sequence, environment.fact_subject(one, FUNCTION, "run"))
        ]
        break


async def test_what_is_written_whole_arrives_as_if_published(connection: Connection) -> None:
    """Several commands in one piece, with and without headers and reply."""
    subscription = await connection.nc.subscribe("lean.>")
    commands = command("lean.plain", "", "", b"1") + command("lean.asked", "lean.reply", "A: b\r\nC: 2\r\n", b"two\r\n")
    await connection.nc.write(commands, 5)
    plain, asked = await subscription.next_msg(5), await subscription.next_msg(5)
    assert (plain.subject, plain.reply, plain.headers, plain.data) == ("lean.plain", "", None, b"1")
    assert (asked.subject, asked.reply, asked.data) == ("lean.asked", "lean.reply", b"two\r\n")
    assert asked.headers == {"A": "b", "C": "2"}


async def test_no_more_is_written_than_the_server_takes(connection: Connection) -> None:
    """It would close the connection."""
    most = connection.nc.max_payload
    await connection.nc.write(command("lean.most", "", "", b"x" * most), most)
    await connection.nc.flush()
    with pytest.raises(MaxPayloadError):
        await connection.nc.write(command("lean.more", "", "", b"x" * (most + 1)), most + 1)


async def test_nothing_is_written_late(connection: Connection) -> None:
    """Whoever publishes while the connection is away hears so, and nothing is kept for later."""
    await connection.close()
    with pytest.raises(ConnectionClosedError):
        await connection.nc.write(command("lean.late", "", "", b"1"), 1)
