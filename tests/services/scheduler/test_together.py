"""Executions that run for others, on a real server: decided once, settled once, whichever scheduler does it."""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import msgspec

from eventually import eventually
from penstock.domain.execution import facts as f
from penstock.domain.execution.state import Execution, State
from penstock.domain.flow.limits import Batch, Debounce
from penstock.handle import load
from penstock.jetstream.connect import Connection
from penstock.jetstream.ends import EndFacts
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.objects import Payloads
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Append, Conflict
from penstock.wire.names import Names
from penstock_scheduler.ends import EndLoop, ended_of
from penstock_scheduler.followers import Followers
from sample_facts import now
from services.scheduler.test_admission import admitted, declare, enqueue, replay, scheduler


async def started(log: JetStreamLog, function: str, execution_id: str) -> Execution:
    """The execution, begun by a runner."""
    state = await load(log, execution_id, function)
    assert state is not None
    fact = f.Started(n=state.n + 1, at=now(), activation=state.activation, attempt=1, runner="r1")
    await log.append(Append(execution_id=execution_id, function=function, facts=[fact], expected=state.sequence))
    state = await load(log, execution_id, function)
    assert state is not None
    return state


async def finish(log: JetStreamLog, function: str, execution_id: str, result: Any = None) -> None:
    """It succeeds; its history may move while it does."""
    while True:
        state = await load(log, execution_id, function)
        assert state is not None
        value = msgspec.Raw(msgspec.json.encode(result))
        fact = f.Succeeded(n=state.n + 1, at=now(), attempt=1, result=value)
        with suppress(Conflict):
            await log.append(
                Append(
                    execution_id=execution_id, function=function, facts=[fact], expected=state.sequence,
                    is_awaited=state.is_awaited,
                )
            )  # fmt: skip
            return


async def result(log: JetStreamLog, function: str, execution_id: str) -> Any:
    """The result once it has one."""

    async def ended() -> bool:
        state = await load(log, execution_id, function)
        return state is not None and state.state is State.SUCCEEDED

    await eventually(ended)
    last = (await log.read(execution_id, function))[-1].fact
    assert isinstance(last, f.Succeeded)
    return msgspec.json.decode(last.result)


async def leader_of(log: JetStreamLog, function: str, execution_id: str) -> str:
    """Whom it follows, once it does."""

    async def follows() -> bool:
        state = await load(log, execution_id, function)
        return state is not None and bool(state.leader)

    await eventually(follows, within=20)
    state = await load(log, execution_id, function)
    assert state is not None
    return state.leader


class Settling:
    """The loop over final facts of one scheduler."""

    def __init__(self, connection: Connection, names: Names, log: JetStreamLog) -> None:
        self.source = EndFacts(connection, names, names.ends_consumer)
        self.followers = Followers(log, Payloads(connection, names), now, lambda: 0.5)
        self.task = asyncio.create_task(EndLoop(self.source, log, [self.followers.settle]).run())

    async def stop(self) -> None:
        await self.source.stop()
        await self.task


async def test_all_three_are_decided_once_by_two_schedulers_and_again_from_the_log(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog, connection: Connection
) -> None:
    """One of two schedulers ends half way; each burst, batch and singleton has one leader, and a replay agrees."""
    await declare(log, "merged", debounce=Debounce(0.3, 5.0))
    await declare(log, "alone", singleton="attach")
    await declare(log, "batched", batch=Batch(3, 0.3))
    settling = Settling(connection, environment, log)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(scheduler(nats_server, environment, "s1"))
        await eventually(lambda: _true(first.admission.leadership.is_leader))
        await stack.enter_async_context(scheduler(nats_server, environment, "s2"))
        merged, alone = await enqueue(log, "merged", 4), await enqueue(log, "alone", 4)
        assert {await leader_of(log, "alone", each) for each in alone[1:]} == {alone[0]}
        await first.stop()
        batched = await enqueue(log, "batched", 5)
        leaders = [await leader_of(log, "batched", each) for each in batched]
        assert leaders[0] == leaders[1] == leaders[2] != leaders[3] == leaders[4]
        assert {await leader_of(log, "merged", each) for each in merged[:-1]} == {merged[-1]}
        runs = {merged[-1]: ("merged", 7), alone[0]: ("alone", "x"), leaders[0]: ("batched", [1, 2, 3])}
        runs[leaders[3]] = ("batched", [4, 5])
        await eventually(lambda: _has_run(log, set(runs)), within=20)
        for execution, (function, value) in runs.items():
            await started(log, function, execution)
            await finish(log, function, execution, value)
        assert [await result(log, "merged", each) for each in merged] == [7] * 4
        assert [await result(log, "alone", each) for each in alone] == ["x"] * 4
        assert [await result(log, "batched", each) for each in batched] == [1, 2, 3, 4, 5]
    await settling.stop()
    await replay(environment, log)


async def test_a_leader_whose_history_never_rests_is_followed_and_holds_up_nobody(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog
) -> None:
    """While one leader stores step after step, its followers join all the same, and other functions are admitted."""
    await declare(log, "alone", singleton="attach")
    await declare(log, "f", concurrency=100)
    async with scheduler(nats_server, environment, "s1"):
        [leader] = await enqueue(log, "alone")
        await eventually(lambda: _has_run(log, {leader}))
        await started(log, "alone", leader)
        writing = asyncio.create_task(write_steps(log, leader))
        try:
            others = await enqueue(log, "f", 5)
            followers = await enqueue(log, "alone", 5)
            await eventually(lambda: _has_run(log, set(others)))
            assert {await leader_of(log, "alone", each) for each in followers} == {leader}
        finally:
            writing.cancel()


async def write_steps(log: JetStreamLog, execution_id: str) -> None:
    """One step after the other, as fast as the log takes them."""
    state = await load(log, execution_id, "alone")
    while state is not None:
        fact = f.StepCompleted(n=state.n + 1, at=now(), attempt=1, step=f"s{state.n}", started_at=now())
        entry = Append(execution_id=execution_id, function="alone", facts=[fact], expected=state.sequence)
        try:
            sequence = await log.append(entry)
        except Conflict:
            state = await load(log, execution_id, "alone")
            continue
        state = msgspec.structs.replace(state, n=state.n + 1, sequence=sequence)


async def test_an_end_that_is_handled_twice_settles_each_follower_once(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog, connection: Connection
) -> None:
    """A scheduler that died between the facts and the acknowledgement is no matter; a cancelled follower stays so."""
    await declare(log, "batched", batch=Batch(3, 5.0))
    async with scheduler(nats_server, environment, "s1"):
        ids = await enqueue(log, "batched", 3)
        leader = await leader_of(log, "batched", ids[0])
        await eventually(lambda: _has_run(log, {leader}))
    state = await load(log, ids[1], "batched")
    assert state is not None
    cancelled = f.Cancelled(n=state.n + 1, at=now())
    await log.append(Append(execution_id=ids[1], function="batched", facts=[cancelled], expected=state.sequence))
    await started(log, "batched", leader)
    large = "x" * 200_000
    await finish(log, "batched", leader, [1, 2, large])
    payloads = Payloads(connection, environment)
    followers = Followers(log, payloads, now, lambda: 0.5)
    ended = await ended_of(log, leader, "batched")
    assert ended is not None
    for _ in range(2):
        await followers.settle(ended)
    kinds = [[f.kind_of(each.fact) for each in await log.read(member, "batched")] for member in ids]
    assert kinds == [["enqueued", "joined", last] for last in ("succeeded", "cancelled", "succeeded")]
    last = (await log.read(ids[2], "batched"))[-1].fact
    assert isinstance(last, f.Succeeded)
    assert last.result_ref is not None
    assert msgspec.json.decode(await payloads.get(last.result_ref)) == large


async def _has_run(log: JetStreamLog, wanted: set[str]) -> bool:
    return wanted <= set(await admitted(log))


async def _true(value: bool) -> bool:
    return value
