"""The notifier as a service: traces and notifications together, switched by the standard variables."""

import asyncio
import json
import time
from typing import Any

import pytest

from eventually import eventually
from penstock.domain.execution import facts as f
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.ports import Append
from penstock.service.lifecycle import Runtime
from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_notifier.app import service
from sample_facts import FUNCTION, new_id, now
from services.notifier.collector import Collector


@pytest.mark.parametrize("traced", [True, False])
async def test_the_service_tells_and_traces_and_stops(
    connection: Connection, environment: Names, log: JetStreamLog, monkeypatch: pytest.MonkeyPatch, traced: bool
) -> None:
    """A notification in any case; a trace only with an endpoint; and an end within two seconds."""
    collector = Collector()
    if traced:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    told: asyncio.Queue[Any] = asyncio.Queue()
    await connection.nc.subscribe(f"{environment.root}.notify.failed.{FUNCTION}", cb=told.put)
    runtime = Runtime(
        settings=Settings(),
        names=environment,
        connections={service.name: connection},
        log=log,
        registry=FunctionRegistry(connection, environment, log),
        feed=Feed(log),
    )
    execution_id, at = new_id(), now()
    async with service.open(runtime):
        facts = [
            f.Enqueued(n=1, at=at, function=FUNCTION, trace_id=execution_id),
            f.Started(n=2, at=at, activation=1, attempt=1, runner="r1"),
            f.Failed(n=3, at=at, attempt=1, error=f.ErrorInfo(code="crashed", message="gone")),
        ]
        await log.append(Append(execution_id=execution_id, function=FUNCTION, facts=facts, expected=0))
        message = await asyncio.wait_for(told.get(), 10)
        assert json.loads(message.data)["subject"] == execution_id
        if traced:
            await eventually(lambda: len(collector.trace(execution_id)) == 6)
        assert [check() for check in runtime.checks.values()] == [None] * len(runtime.checks)
        runtime.stopping.set()
        began = time.monotonic()
    assert time.monotonic() - began < 2.0
    assert runtime.failure is None
    assert bool(collector.received) is traced
    await runtime.finish()
    await runtime.feed.close()
    collector.close()
