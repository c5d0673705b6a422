"""A real nats-server with all users and a provisioned environment, and logging in there as one of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from penstock.jetstream.access import OPERATOR, authorization, passwords
from penstock.jetstream.connect import Connection
from penstock.jetstream.provision import provision
from penstock.jetstream.server import EmbeddedServer
from penstock.wire.names import Names


@contextmanager
def guarded_server(data: Path, names: Names, api_key: str = "pk_test-key") -> Iterator[EmbeddedServer]:
    """Running until it is left."""
    server = EmbeddedServer(data, 0, authorization=authorization([names], passwords(data), api_key))

    async def prepare() -> None:
        await server.start()
        async with logged_in(server, OPERATOR) as operator:
            await provision(operator, names)

    asyncio.run(prepare())
    yield server
    asyncio.run(server.stop())


@asynccontextmanager
async def logged_in(server: EmbeddedServer, user: str) -> AsyncIterator[Connection]:
    """The connection of a service; a refusal of the server shows as its problem."""
    connection = Connection(user)
    await connection.open(server.url, user=user, password=passwords(server.data_dir)[user])
    try:
        yield connection
    finally:
        await connection.close()
