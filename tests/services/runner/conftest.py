"""A runner in this process, with real worker processes, on an environment of its own."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.service.lifecycle import Runtime
from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_runner.app import open_runner
from runner_bench import Bench, StartRunner

HERE = Path(__file__).parent


@pytest.fixture
async def bench(connection: Connection, environment: Names, log: JetStreamLog) -> Bench:
    return Bench(connection, environment, log)


@pytest.fixture
async def start_runner(
    connection: Connection, environment: Names, log: JetStreamLog, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartRunner]:
    """Start a runner on the sample app; setting `runtime.stopping` is not needed, the end of the test drains it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    async with AsyncExitStack() as stack:
        registry = FunctionRegistry(connection, environment, log)
        await registry.open()
        stack.push_async_callback(registry.close)

        async def start(app: str = "sample_app:app", **settings: Any) -> Runtime:
            given = {"sync_processes": 1, "grace": 0.5, **settings}
            runtime = Runtime(
                settings=Settings(app=app, **given), names=environment, connections={"runner": connection}, log=log,
                registry=registry, feed=Feed(log),
            )  # fmt: skip
            scope = AsyncExitStack()
            await scope.enter_async_context(open_runner(runtime))
            stack.push_async_callback(scope.aclose)
            runtime.close = scope.aclose  # type: ignore[attr-defined]
            return runtime

        yield start
