"""The scheduler as a service, opened on a runtime and drained."""

import asyncio

from eventually import eventually
from penstock.domain.execution import facts as f
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.registry import FunctionRegistry
from penstock.jetstream.timers import JetStreamTimers
from penstock.ports import Append
from penstock.service.lifecycle import Runtime
from penstock.service.settings import Settings
from penstock.wire.names import START_WAIT, Names
from penstock_scheduler.app import service
from sample_facts import FUNCTION, new_id, now


async def delayed(log: JetStreamLog, run_at: int) -> str:
    execution_id = new_id()
    fact = f.Enqueued(n=1, at=now(), function=FUNCTION, trace_id=execution_id, run_at=run_at)
    await log.append(Append(execution_id=execution_id, function=FUNCTION, facts=[fact], expected=0))
    return execution_id


async def test_the_service_wakes_repairs_and_stops(
    connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """One wake-up by its timer; one wait from before the start whose timer was lost; then an orderly end."""
    lost = await delayed(log, now())
    runtime = Runtime(
        settings=Settings(),
        names=environment,
        connections={service.name: connection},
        log=log,
        registry=FunctionRegistry(connection, environment, log),
        feed=Feed(log),
    )

    async def due(execution_id: str) -> bool:
        return [f.kind_of(each.fact) for each in await log.read(execution_id, FUNCTION)] == ["enqueued", "due"]

    async with service.open(runtime) as routes:
        assert routes == []
        timed = await delayed(log, now() + 200_000)
        await JetStreamTimers(connection, environment).set(timed, START_WAIT, now() + 200_000)
        await eventually(lambda: due(timed))
        await eventually(lambda: due(lost), within=15)
        assert [check() for check in runtime.checks.values()] == [None] * len(runtime.checks)
        runtime.stopping.set()
    assert runtime.failure is None
    await runtime.finish()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("scheduler.")]
    await runtime.feed.close()
