"""What user code says to an execution that runs elsewhere is heard there at once."""

import asyncio

from nats.aio.msg import Msg

from penstock.domain.execution.commands import RequestCancel, Start
from penstock.handle import handle
from penstock.jetstream.inbox import Hints
from penstock.service.lifecycle import system_clock
from penstock_runner.others import Others
from runner_bench import Bench


def chance() -> float:
    return 0.5


async def test_the_runner_of_a_running_execution_gets_a_hint(bench: Bench) -> None:
    """Else it would look with its next heartbeat only."""
    hints: asyncio.Queue[str] = asyncio.Queue()

    async def on_hint(message: Msg) -> None:
        hints.put_nowait(message.data.decode())

    await bench.connection.nc.subscribe(bench.names.hint_subject("r1"), cb=on_hint)
    execution = await bench.enqueue("add", 1, 2)
    others = Others(bench.log, Hints(bench.connection, bench.names), system_clock, chance)
    await handle(bench.log, execution, Start(activation=1, runner="r1"), system_clock, chance, function="add")
    await others.carry_out(execution, RequestCancel(), "add")
    assert await asyncio.wait_for(hints.get(), 10) == execution
