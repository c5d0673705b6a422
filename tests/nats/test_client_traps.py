"""Traps of the NATS client: each is shown with the plain client where it still bites, and not to bite ours."""

import asyncio
import socket
import time
from collections.abc import Callable

import msgspec
import nats.aio.msg
import nats.errors
import pytest
from nats.js.api import StreamConfig

import nats
from eventually import eventually
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.publisher import Publisher, Unanswered
from penstock.jetstream.server import EmbeddedServer
from penstock.jetstream.work import JetStreamWork
from penstock.ports import Unavailable
from penstock.wire.names import Names
from sample_facts import FUNCTION, entry, new_id


async def opened(server: EmbeddedServer) -> Connection:
    connection = Connection("test")
    await connection.open(server.url)
    return connection


async def restarted(server: EmbeddedServer, stop: Callable[[], object], *connections: Connection) -> None:
    """Stop the server by the given means, start it again, and wait until the connections are back."""
    stop()
    await server.wait()
    await server.stop()
    await eventually(lambda: all(each.problem is not None for each in connections))
    await server.start()
    await eventually(lambda: all(each.problem is None for each in connections))


async def test_a_plain_publish_that_timed_out_is_stored_later(own_server: EmbeddedServer) -> None:
    """The trap: the plain client keeps it in a buffer and sends it after the reconnect."""
    plain = await nats.connect(own_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=_ignore)
    js = plain.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"]))
    await own_server.stop()
    await eventually(lambda: not plain.is_connected)
    with pytest.raises(nats.errors.TimeoutError):
        await js.publish("s.late", b"told to have failed", timeout=0.3)
    await own_server.start()

    async def stored() -> bool:
        try:
            return (await js.stream_info("S")).state.messages == 1
        except nats.errors.Error:
            return False

    assert await eventually(stored)
    await plain.close()


async def test_our_publish_without_a_connection_fails_at_once_and_is_never_stored(own_server: EmbeddedServer) -> None:
    """What a caller was told to have failed must not happen later."""
    names = Names()
    connection = await opened(own_server)
    await provision(connection, names)
    publisher = Publisher(connection)
    await publisher.publish(names.event_subject("before"), b"{}")
    await own_server.stop()
    await eventually(lambda: connection.problem is not None)
    before = time.monotonic()
    with pytest.raises(Unavailable, match="not connected"):
        await publisher.publish(names.event_subject("lost"), b"{}")
    assert time.monotonic() - before < 1
    await own_server.start()
    await eventually(lambda: connection.problem is None)
    assert await publisher.publish(names.event_subject("after"), b"{}") == 2
    await connection.close()


async def test_a_publish_without_an_answer_has_an_unknown_outcome(own_server: EmbeddedServer) -> None:
    """Which is not the same as refused: it may have been stored, so the caller reads it back."""
    connection = await opened(own_server)
    await connection.nc.subscribe("silent.subject")
    with pytest.raises(Unanswered):
        await Publisher(connection, answer_seconds=0.2).publish("silent.subject", b"{}")
    await connection.close()


async def test_connecting_to_nothing_fails_at_once_with_a_sentence(unused_port: int) -> None:
    """The plain client would try for minutes."""
    before = time.monotonic()
    with pytest.raises(Unavailable, match=rf"Nothing answers at NATS 127\.0\.0\.1:{unused_port}"):
        await Connection("test").open(f"nats://127.0.0.1:{unused_port}")
    assert time.monotonic() - before < 2


async def test_closing_does_not_wait_for_an_idle_pull(connection: Connection, environment: Names) -> None:
    """The plain client's drain blocks for its whole time-out, 30 seconds."""
    own = await opened_like(connection)
    work = JetStreamWork(own, environment, FUNCTION)
    taking = asyncio.create_task(work.take(10))
    await eventually(lambda: _has_consumer(connection, environment))
    before = time.monotonic()
    await work.stop()
    assert await taking == []
    await own.close()
    assert time.monotonic() - before < 2


async def test_an_idle_fetch_of_the_plain_client_is_an_error(connection: Connection, environment: Names) -> None:
    """The trap: nothing to do raises a TimeoutError, like a real outage."""
    subscription = await connection.js.pull_subscribe("", "idle", stream=environment.events)
    with pytest.raises(asyncio.TimeoutError):
        await subscription.fetch(1, timeout=0.2)
    await subscription.unsubscribe()


async def test_idle_work_is_no_error(log: JetStreamLog, connection: Connection, environment: Names) -> None:
    """Ours keeps waiting, and takes what comes later."""
    work = JetStreamWork(connection, environment, FUNCTION)
    taking = asyncio.create_task(work.take(1))
    await asyncio.wait({taking}, timeout=1.5)
    assert not taking.done()
    execution_id = new_id()
    await log.append(entry(execution_id))
    [item] = await asyncio.wait_for(taking, 10)
    assert item.execution_id == execution_id
    await work.stop()


async def test_the_plain_client_writes_into_the_headers_it_is_given(own_server: EmbeddedServer) -> None:
    """The trap: one dict used for two publishes carries the life time of the first into the second."""
    connection = await opened(own_server)
    await connection.js.add_stream(StreamConfig(name="S", subjects=["s.>"], allow_msg_ttl=True))
    headers = {"a": "b"}
    await connection.js.publish("s.1", b"", headers=headers, msg_ttl=5)
    assert headers != {"a": "b"}
    await connection.close()


async def test_our_publish_leaves_headers_alone(connection: Connection, environment: Names) -> None:
    """They may be shared between publishes."""
    headers = {"traceparent": "00-1-2-01"}
    await Publisher(connection).publish(environment.event_subject("signup"), b"{}", headers)
    assert headers == {"traceparent": "00-1-2-01"}


async def test_every_order_of_work_has_an_end(connection: Connection, environment: Names) -> None:
    """A pull without an expiry can hang for ever; the server itself sees what was asked for."""
    seen: list[bytes] = []

    async def remember(message: nats.aio.msg.Msg) -> None:
        seen.append(message.data)

    await connection.nc.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{environment.executions}.>", cb=remember)
    work = JetStreamWork(connection, environment, FUNCTION)
    taking = asyncio.create_task(work.take(1))
    await eventually(lambda: seen)
    assert msgspec.json.decode(seen[0])["expires"] > 0
    await work.stop()
    await taking


@pytest.mark.parametrize("how", ["terminate", "kill"])
async def test_work_goes_on_after_a_restart_of_the_server(own_server: EmbeddedServer, how: str) -> None:
    """A pull that was waiting when the server went away is made again."""
    names = Names()
    connection = await opened(own_server)
    await provision(connection, names)
    log = JetStreamLog(connection, names)
    work = JetStreamWork(connection, names, FUNCTION)
    first = new_id()
    await log.append(entry(first))
    [item] = await work.take(1)
    await item.ack()
    taking = asyncio.create_task(work.take(1))
    assert own_server.process is not None
    await restarted(own_server, getattr(own_server.process, how), connection)
    second = new_id()
    await log.append(entry(second))
    found = await asyncio.wait_for(taking, 10)
    while found[0].execution_id == first:  # a killed server may forget an acknowledgement
        await found[0].ack()
        found = await asyncio.wait_for(work.take(1), 10)
    assert [each.execution_id for each in found] == [second]
    await work.stop()
    await connection.close()


async def opened_like(connection: Connection) -> Connection:
    """Another connection to the same server."""
    other = Connection("other")
    await other.open(connection.nc.connected_url.geturl())
    return other


async def _has_consumer(connection: Connection, names: Names) -> bool:
    return (await connection.js.stream_info(names.executions)).state.consumer_count > 0


async def _ignore(error: Exception) -> None:
    """Reconnecting is what these tests are about."""


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
