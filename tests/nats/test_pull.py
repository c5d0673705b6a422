"""What a puller believes that it has ordered is what the server still owes it."""

import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from eventually import eventually
from penstock.jetstream import pull as pull_module
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.pull import Pull
from penstock.wire.names import Names
from sample_facts import entry, new_id


async def test_a_request_that_runs_out_takes_nothing_from_the_next_one(
    connection: Connection, environment: Names, log: JetStreamLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server serves two requests in turn; what was left of the first is not expected from the second."""
    config = ConsumerConfig(durable_name="c", ack_policy=AckPolicy.EXPLICIT)
    await connection.js.add_consumer(environment.executions, config)
    pull = Pull(connection, environment.executions, "c")
    await pull.open()
    monkeypatch.setattr(pull_module, "EXPIRES_SECONDS", 1.0)
    await pull.order(10)
    monkeypatch.setattr(pull_module, "EXPIRES_SECONDS", 20.0)
    await pull.order(10)
    await log.append_many([entry(new_id()) for _ in range(12)])
    seen: list[object] = []
    while len(seen) < 12:
        await pull.wait(1.0)
        seen += pull.drain(100)
    assert pull.ordered == 8

    async def owed() -> int:
        info = await connection.js.consumer_info(environment.executions, "c")
        return info.num_waiting or 0

    async def one_is_left() -> bool:
        return await owed() == 1

    await eventually(one_is_left)
    await eventually(lambda: pull.ordered < 8)
    left = pull.ordered
    await log.append_many([entry(new_id()) for _ in range(left)])
    await eventually(lambda: pull.ordered == 0)

    async def nothing_is_owed() -> bool:
        return await owed() == 0

    await eventually(nothing_is_owed)
    await pull.close()
