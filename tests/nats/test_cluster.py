"""A cluster of three with the users of the compose file: what differs from a single server."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from eventually import eventually
from nats_cluster import NODES, NatsCluster, nats_cluster
from penstock.jetstream.access import OPERATOR
from penstock.jetstream.api import request
from penstock.jetstream.connect import Connection
from penstock.jetstream.follow import follow
from penstock.jetstream.provision import check_provided, drift, provision
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import DirectReader
from penstock.jetstream.refused import StartRefused
from penstock.ports import Unavailable
from penstock.wire.names import Names
from penstock_process import free_port

NAMES = Names()
READS = 150


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with nats_cluster(tmp_path_factory.mktemp("cluster")) as running:
        asyncio.run(_provide(running))
        yield running


async def _provide(cluster: NatsCluster) -> None:
    operator = Connection(OPERATOR)
    await operator.open(cluster.url, user=OPERATOR, password=cluster.passwords[OPERATOR])
    with pytest.raises(StartRefused, match="penstock nats streams"):
        await check_provided(operator, NAMES)
    await provision(operator, NAMES, replicas=3)
    assert await drift(operator, NAMES, replicas=3) == []
    await operator.close()


@pytest.fixture
async def lines(cluster: NatsCluster) -> AsyncIterator[list[Connection]]:
    """A line to each server, as the scheduler."""
    opened = []
    for port in cluster.ports:
        connection = Connection(f"to-{port}")
        await connection.open(f"nats://127.0.0.1:{port}", user="scheduler", password=cluster.passwords["scheduler"])
        opened.append(connection)
    yield opened
    for connection in opened:
        await connection.close()


async def test_what_is_acknowledged_can_be_read_wherever_one_is_connected(lines: list[Connection]) -> None:
    """Replicas answer direct gets, and one in twenty is asked before it has the newest message."""
    publisher, readers = Publisher(lines[0]), [DirectReader(each) for each in lines]
    for number in range(READS):
        subject = NAMES.fact_subject(f"{number:032x}", "f", "fact")
        stored = await publisher.publish(subject, b"{}")
        found = await asyncio.gather(*(each.subject(NAMES.executions, subject) for each in readers))
        assert [[message.sequence for message in part] for part in found] == [[stored]] * NODES
        last = [await each.last(NAMES.executions, subject) for each in readers]
        assert [message and message.sequence for message in last] == [stored] * NODES


async def test_reads_by_the_leader_are_like_those_by_a_replica(lines: list[Connection]) -> None:
    """The same message with the same headers, whoever is asked."""
    reader, subject = DirectReader(lines[0]), NAMES.fact_subject("f" * 32, "f", "run")
    publisher = Publisher(lines[0])
    stored = [await publisher.publish(subject, b'{"n":%d}' % n, {"Penstock-Test": str(n)}) for n in range(3)]
    found = await reader.subject(NAMES.executions, subject)
    assert [each.sequence for each in found] == stored
    for each in found:
        again = await reader.at(NAMES.executions, each.sequence)
        assert again is not None
        assert (again.data, again.headers["Penstock-Test"]) == (each.data, each.headers["Penstock-Test"])
    assert [each.sequence for each in await reader.subject(NAMES.executions, subject, stored[1], limit=1)] == stored[
        1:2
    ]
    assert await reader.subject(NAMES.executions, subject, stored[2] + 1) == []
    assert await reader.last(NAMES.executions, NAMES.fact_subject("e" * 32, "f", "run")) is None


async def test_one_of_the_servers_in_the_url_is_enough(cluster: NatsCluster) -> None:
    """A start must not depend on the first of them."""
    connection = Connection("second")
    url = f"127.0.0.1:{free_port()},nats://127.0.0.1:{cluster.ports[1]}"
    await connection.open(url, user="query", password=cluster.passwords["query"])
    assert connection.is_clustered
    await connection.close()


async def test_the_user_of_the_first_address_counts_for_all(cluster: NatsCluster) -> None:
    """Nobody should have to write a password three times, and the cluster tells of servers that no URL names."""
    connection = Connection("short")
    await connection.open(f"nats://query:of_query@127.0.0.1:{free_port()},127.0.0.1:{cluster.ports[2]}")
    assert connection.problem is None
    await connection.close()


async def test_a_cluster_that_is_not_there_is_named_in_full() -> None:
    """Whoever mistyped one address should see it."""
    ports = [free_port(), free_port()]
    with pytest.raises(Unavailable, match=f"127.0.0.1:{ports[0]} .*127.0.0.1:{ports[1]} "):
        await Connection("nowhere").open(",".join(f"nats://127.0.0.1:{port}" for port in ports))


async def test_rights_are_as_narrow_as_on_the_embedded_server(cluster: NatsCluster) -> None:
    """The query service reads, and writes no fact."""
    connection = Connection("query")
    await connection.open(cluster.url, user="query", password=cluster.passwords["query"])
    with pytest.raises(Unavailable):
        await Publisher(connection, 0.5).publish(NAMES.fact_subject("d" * 32, "f", "fact"), b"{}")
    await eventually(lambda: "lacks a permission" in (connection.problem or ""))
    await connection.close()


@pytest.mark.cluster
@pytest.mark.timeout(120)
async def test_a_follower_notices_that_the_server_with_its_consumer_died(
    cluster: NatsCluster, lines: list[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own line stays, so nothing but the missing heartbeat tells."""
    monkeypatch.setattr("penstock.jetstream.pull._HEARTBEAT", b',"idle_heartbeat":1000000000')
    monkeypatch.setattr("penstock.jetstream.pull.SILENT_SECONDS", 2.5)
    operator = Connection(OPERATOR)
    await operator.open(cluster.url, user=OPERATOR, password=cluster.passwords[OPERATOR])
    position = await Publisher(lines[0]).publish(NAMES.system_subject("paused", "before"), b"{}")
    home = 0
    while home == 0:  # where the server puts it is chance, and our own must stay
        known = await _homes(operator)
        first = asyncio.ensure_future(anext(follow(lines[0], NAMES.executions, position)))
        await eventually(lambda known=known: _more(operator, known))
        (home,) = (node for name, node in (await _homes(operator)).items() if name not in known)
    cluster.kill(home)
    cluster.wait_gone(home)
    try:
        publisher = Publisher(lines[0])
        stored = await eventually(lambda: _published(publisher), 30)
        assert (await asyncio.wait_for(first, 30))[-1].sequence >= stored
    finally:
        cluster.start(home)
        cluster.wait_whole(home)
        await operator.close()


async def _homes(operator: Connection) -> dict[str, int]:
    """Consumer of the log -> the node that has it."""
    answer = await request(operator, f"$JS.API.CONSUMER.LIST.{NAMES.executions}")
    return {each["name"]: int(each["cluster"]["leader"].removeprefix("nats-")) for each in answer["consumers"] or []}


async def _more(operator: Connection, known: dict[str, int]) -> bool:
    return len(await _homes(operator)) > len(known)


async def _published(publisher: Publisher) -> int | None:
    try:
        return await publisher.publish(NAMES.system_subject("paused", "after"), b"{}")
    except Unavailable:
        return None
