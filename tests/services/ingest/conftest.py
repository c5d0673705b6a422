"""The ingest service on a free port, with a handful of declared functions, on a real nats-server."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from penstock_ingest.app import open_ingest
from running_ingest import KEY, SPECS, Ingest, declare

from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.jetstream.server import EmbeddedServer
from penstock.service.http import HttpApp
from penstock.service.lifecycle import Runtime
from penstock.service.serve import serve
from penstock.service.settings import Settings
from penstock.wire.names import Names


@pytest.fixture
async def runtime(
    nats_server: EmbeddedServer, connection: Connection, environment: Names, log: JetStreamLog
) -> AsyncIterator[Runtime]:
    """What the service is given."""
    registry = FunctionRegistry(connection, environment, log)
    await registry.open()
    own = Connection("ingest")
    await own.open(nats_server.url)
    settings = Settings(env=environment.environment, api_key=KEY, http_port=0, trace_url="http://traces/{trace_id}")
    runtime = Runtime(settings, environment, {"ingest": own}, log, registry, Feed(log))
    await declare(runtime, *SPECS)
    yield runtime
    await registry.close()
    await own.close()


@pytest.fixture
async def ingest(runtime: Runtime, connection: Connection) -> AsyncIterator[Ingest]:
    """The service, answering on a free port."""
    async with open_ingest(runtime) as routes:
        app = HttpApp(routes, KEY, runtime.checks)
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        stopping = asyncio.Event()
        serving = asyncio.create_task(serve(app, runtime.settings, stopping, port.set_result))
        address = f"http://127.0.0.1:{await port}"
        async with httpx2.AsyncClient(base_url=address, headers={"authorization": f"Bearer {KEY}"}) as http:
            yield Ingest(http, runtime, connection, port.result())
        stopping.set()
        await serving
