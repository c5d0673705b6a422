"""Flow control in the scheduler, put together: snapshot, log, lease, decisions, consumers, answers."""

import asyncio
from collections.abc import Iterable

from penstock.jetstream.connect import Connection
from penstock.jetstream.consumers import FunctionConsumers
from penstock.jetstream.inbox import Hints
from penstock.jetstream.leader import Leadership
from penstock.jetstream.objects import Payloads
from penstock.jetstream.questions import Questions
from penstock.ports import Clock
from penstock.service.lifecycle import Runtime, batches_until
from penstock_scheduler.admission import Admission, FlowReader
from penstock_scheduler.answers import Answers
from penstock_scheduler.consumers import ConsumerKeeper
from penstock_scheduler.snapshots import Snapshots

ROLE = "flow"


async def open_flow(
    runtime: Runtime, name: str, connection: Connection, leadership: Leadership, clock: Clock
) -> Iterable[asyncio.Task[None]]:
    """Start the loops of flow control; they end when the process stops. Raises Unavailable."""
    names = runtime.names
    snapshots = Snapshots(Payloads(connection, names))
    reader = FlowReader(names, await snapshots.load(await runtime.log.last_sequence()))
    admission = Admission(name, names, runtime.log, reader, leadership, Hints(connection, names), clock, runtime.dice)
    keeper = ConsumerKeeper(admission, runtime.registry, FunctionConsumers(connection, names))
    keeper.look_at_all()
    await Answers(admission, clock).open(Questions(connection, names))
    caught_up = asyncio.Event()
    target = await runtime.log.last_sequence()
    runtime.checks["scheduler.flow"] = lambda: None if caught_up.is_set() else "still reading the log for flow control"

    async def follow() -> None:
        if reader.state.position >= target:
            caught_up.set()
        async for batch in batches_until(runtime.stopping, runtime.feed.subscribe(reader.state.position)):
            await admission.take(batch)
            if reader.state.position >= target:
                caught_up.set()

    stopping = runtime.stopping
    return [
        runtime.spawn(follow(), "scheduler.flow.follow"),
        runtime.spawn(admission.hold_lease(stopping), "scheduler.flow.lease"),
        runtime.spawn(admission.run(stopping), "scheduler.flow.decide"),
        runtime.spawn(snapshots.run(admission, stopping), "scheduler.flow.snapshots"),
        runtime.spawn(keeper.run(stopping), "scheduler.flow.consumers"),
    ]
