"""Leases: alive while renewed, gone when released or lapsed, and never declared dead by an outage."""

import uuid
from collections.abc import AsyncIterator

import pytest

from eventually import eventually
from penstock.jetstream.connect import Connection
from penstock.jetstream.leases import LeaseTable
from penstock.jetstream.provision import provision
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Unavailable
from penstock.wire import topology
from penstock.wire.names import Names


@pytest.fixture
async def short(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Names]:
    """An environment whose leases last a second."""
    monkeypatch.setattr(topology, "LEASE_SECONDS", 1)
    names = Names(f"t-{uuid.uuid4().hex[:12]}")
    await provision(connection, names)
    yield names
    for stream in names.all_streams():
        await connection.js.delete_stream(stream)


async def test_a_holder_is_alive_once_it_has_renewed(connection: Connection, environment: Names) -> None:
    """And nobody else is."""
    leases = LeaseTable(connection, environment)
    assert not await leases.is_alive("r1")
    await leases.renew("r1")
    assert await leases.is_alive("r1")
    assert not await leases.is_alive("r2")


async def test_a_released_lease_is_over_at_once(connection: Connection, environment: Names) -> None:
    """Who stops in good order makes nobody wait; and it may come back."""
    leases = LeaseTable(connection, environment)
    await leases.renew("r1")
    await leases.release("r1")
    assert not await leases.is_alive("r1")
    await leases.renew("r1")
    assert await leases.is_alive("r1")


async def test_a_lease_that_is_not_renewed_lapses(connection: Connection, short: Names) -> None:
    """The server's clock decides, not the holder's."""
    leases = LeaseTable(connection, short)
    await leases.renew("r1")

    async def lapsed() -> bool:
        return not await leases.is_alive("r1")

    assert await eventually(lapsed, within=5)


async def test_a_renewed_lease_outlives_its_first_term(connection: Connection, short: Names) -> None:
    """Two terms pass for a holder that does not renew, while the other stays."""
    leases = LeaseTable(connection, short)
    await leases.renew("silent")

    async def silent_is_gone() -> bool:
        await leases.renew("busy")
        return not await leases.is_alive("silent")

    assert await eventually(silent_is_gone, within=5)
    assert await leases.is_alive("busy")


async def test_not_being_able_to_look_is_no_proof_of_death(own_server: EmbeddedServer) -> None:
    """Without a connection the question is not answered, and after it everybody gets one lease time."""
    names = Names()
    connection = Connection("test")
    await connection.open(own_server.url)
    await provision(connection, names)
    time = [0.0]
    leases = LeaseTable(connection, names, monotonic=lambda: time[0])
    await own_server.stop()
    await eventually(lambda: connection.problem is not None)
    with pytest.raises(Unavailable):
        await leases.is_alive("r1")
    await own_server.start()
    await eventually(lambda: connection.problem is None)
    assert await leases.is_alive("r1")
    time[0] += topology.LEASE_SECONDS
    assert not await leases.is_alive("r1")
    await connection.close()
