"""The query service on a port of its own, and a client of it, for tests."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from eventually import eventually
from penstock.domain.execution.facts import AnyFact
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Append
from penstock.service.http import HttpApp
from penstock.service.lifecycle import Runtime, opened
from penstock.service.serve import serve
from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_query.app import service

KEY = "test-key"


class Api:
    """The running service, and a client of it."""

    def __init__(self, runtime: Runtime, client: httpx2.AsyncClient) -> None:
        self.runtime = runtime
        self.log = runtime.log
        self.client = client
        self.last = 0

    async def append(
        self, execution_id: str, facts: Sequence[AnyFact], expected: int = 0, function: str = "work"
    ) -> int:
        entry = Append(execution_id=execution_id, function=function, facts=facts, expected=expected)
        self.last = await self.log.append(entry)
        return self.last

    async def get(self, path: str, status: int = 200, headers: dict[str, str] | None = None, **params: Any) -> Any:
        """The body of an answer with this status, after everything that was appended."""
        response = await self.answer(path, headers, **params)
        assert response.status_code == status, response.text
        return response.json()

    async def answer(self, path: str, headers: dict[str, str] | None = None, **params: Any) -> httpx2.Response:
        params.setdefault("after", f"x:{self.last}")
        return await self.client.get(path, params=params, headers=headers or {})

    async def ids(self, **params: Any) -> list[str]:
        return [each["id"] for each in (await self.get("/v1/executions", **params))["data"]]


async def open_api(
    stack: AsyncExitStack, server: EmbeddedServer, names: Names, data: Path, database_url: str, **more: Any
) -> Api:
    """Start the service alone on a port of its own."""
    connection = Connection("query")
    await connection.open(server.url)
    stack.push_async_callback(connection.close)
    log = JetStreamLog(connection, names)
    stack.push_async_callback(log.close)
    feed = Feed(log)
    stack.push_async_callback(feed.close)
    runtime = Runtime(
        settings=Settings(
            env=names.environment, data_dir=str(data), database_url=database_url, http_port=0, api_key=KEY, **more
        ),
        names=names,
        connections={"query": connection},
        log=log,
        registry=FunctionRegistry(connection, names, log),
        feed=feed,
    )
    routes = await opened(stack, [service], runtime)
    ports: list[int] = []
    serving = asyncio.create_task(
        serve(HttpApp(routes, KEY, runtime.checks), runtime.settings, runtime.stopping, ports.append)
    )

    async def stop() -> None:
        runtime.stopping.set()
        await serving

    stack.push_async_callback(stop)
    port = await eventually(lambda: ports and ports[0])
    client = httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False
    )
    await stack.enter_async_context(client)
    return Api(runtime, client)
