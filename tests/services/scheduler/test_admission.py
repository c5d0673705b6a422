"""Flow control on a real server: two schedulers, batches that a stale one may not write, and starting anew."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from eventually import eventually
from flow_world import decided_again, frozen
from penstock.domain.execution import facts as f
from penstock.domain.flow.admission import decide
from penstock.domain.flow.limits import FlowOptions
from penstock.domain.flow.state import FlowState
from penstock.domain.function.options import FunctionSpec
from penstock.domain.system import AdmissionDecided, FunctionDeclared, LimitChanged
from penstock.handle import fold_recorded
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.inbox import Hints
from penstock.jetstream.leader import Leadership
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.objects import Payloads
from penstock.jetstream.questions import Questions
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Append, Conflict
from penstock.wire.codec import decode_fact, decode_system_fact
from penstock.wire.names import FLOW_LANE, Names
from penstock_scheduler.admission import Admission, FlowReader
from penstock_scheduler.answers import Answers
from penstock_scheduler.snapshots import Snapshots
from sample_facts import new_id, now


async def declare(log: JetStreamLog, name: str, concurrency: int | None = None, **flow: Any) -> None:
    spec = FunctionSpec(name=name, concurrency=concurrency, flow=FlowOptions(**flow))
    await log.append_system("function_declared", name, FunctionDeclared(at=now(), spec=spec, runner="r1"))


async def enqueue(log: JetStreamLog, function: str, count: int = 1, **keys: str) -> list[str]:
    ids = [new_id() for _ in range(count)]
    entries = [
        Append(
            execution_id=each, function=function, expected=0,
            facts=[f.Enqueued(n=1, at=now(), function=function, trace_id=each, gated=True, keys=keys)],
        )
        for each in ids
    ]  # fmt: skip
    if count < 32:
        # One after the other: appends under way together come in any order.
        for entry in entries:
            await log.append(entry)
    else:
        await log.append_many(entries)
    return ids


async def finish(log: JetStreamLog, function: str, execution_id: str) -> None:
    state = fold_recorded(await log.read(execution_id, function))
    assert state is not None
    facts = [
        f.Started(n=state.n + 1, at=now(), activation=state.activation, attempt=1, runner="r1"),
        f.Succeeded(n=state.n + 2, at=now(), attempt=1),
    ]
    await log.append(Append(execution_id=execution_id, function=function, facts=facts, expected=state.sequence))


async def admitted(log: JetStreamLog) -> list[str]:
    """Executions in the order of their admission."""
    found = []
    async for batch in log.follow(0):
        for entry in batch:
            parsed = log.names.parse_fact_subject(entry.subject)
            if parsed and parsed[1] == "run" and isinstance(decode_fact(entry.data), f.Admitted):
                found.append(parsed[0])
        if batch[-1].sequence >= await log.last_sequence():
            return found
    raise AssertionError


class Scheduler:
    """The flow control of one scheduler, with a lease and a follower of its own."""

    def __init__(self, connection: Connection, names: Names, log: JetStreamLog, name: str, state: FlowState) -> None:
        self.stopping = asyncio.Event()
        self.log = log
        leadership = Leadership(connection, names, "flow", name)
        self.admission = Admission(
            name, names, log, FlowReader(names, state), leadership, Hints(connection, names), now, lambda: 0.5
        )
        self.tasks = [
            asyncio.create_task(each)
            for each in (self._follow(), self.admission.hold_lease(self.stopping), self.admission.run(self.stopping))
        ]

    async def _follow(self) -> None:
        async for batch in Feed(self.log).subscribe(self.admission.state.position):
            await self.admission.take(batch)

    async def stop(self) -> None:
        """In good order: the lease is free at once."""
        self.stopping.set()
        await asyncio.wait(self.tasks[1:])

    async def kill(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


@asynccontextmanager
async def scheduler(
    server: EmbeddedServer, names: Names, name: str, state: FlowState | None = None
) -> AsyncIterator[Scheduler]:
    """One scheduler on a connection of its own, killed at the end."""
    async with AsyncExitStack() as stack:
        connection = Connection(name)
        await connection.open(server.url)
        stack.push_async_callback(connection.close)
        found = Scheduler(connection, names, JetStreamLog(connection, names), name, state or FlowState())
        stack.push_async_callback(found.kill)
        yield found


async def test_slots_pass_on_and_the_order_holds(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog
) -> None:
    """One at a time in the order of enqueue, through the log of a real server."""
    await declare(log, "f", fifo=True)
    ids = await enqueue(log, "f", 5)
    async with scheduler(nats_server, environment, "s1"):
        for count, each in enumerate(ids, 1):

            async def is_admitted(count: int = count) -> bool:
                return await admitted(log) == ids[:count]

            await eventually(is_admitted)
            await finish(log, "f", each)


async def test_two_schedulers_admit_once_and_one_takes_over(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog
) -> None:
    """Of two hot schedulers one decides; when it is killed the other goes on, without a double or a lost admission."""
    await declare(log, "f", concurrency=1000)
    async with scheduler(nats_server, environment, "s1") as first:
        await eventually(lambda: _true(first.admission.leadership.is_leader))
        async with scheduler(nats_server, environment, "s2") as second:
            ids = await enqueue(log, "f", 300)
            await eventually(lambda: _true(first.admission.decisions == 300))
            assert second.admission.decisions == 0
            await first.kill()
            ids += await enqueue(log, "f", 300)
            await eventually(lambda: _true(second.admission.decisions == 300), within=20)
    assert sorted(await admitted(log)) == sorted(ids)


async def test_a_stale_scheduler_is_refused(nats_server: EmbeddedServer, environment: Names, log: JetStreamLog) -> None:
    """What a paused scheduler decided before others did is refused as a whole, and it decides anew on what they did."""
    await declare(log, "f", concurrency=1)
    await declare(log, "g", concurrency=1)
    async with scheduler(nats_server, environment, "s1") as stale:
        await eventually(lambda: _true(stale.admission.leadership.is_leader))
        # Held as a stopped process is: it still believes that it leads.
        async with stale.admission.standing_still():
            lane = stale.admission.state.lane
            ids = await enqueue(log, "f", 2) + await enqueue(log, "g", 2)
            state = FlowState()
            reader = FlowReader(environment, state)
            async for batch in log.follow(0):
                reader.take(batch)
                if state.position >= await log.last_sequence():
                    break
            decision = decide(state, now(), 10)
            head = AdmissionDecided(at=now(), seen=state.position, count=1, leader="s2")
            item = decision.admitted[0]
            entry = Append(
                execution_id=item.id, function=item.line.function, expected=item.sequence,
                facts=[f.Admitted(n=2, at=now())],
            )  # fmt: skip
            await log.append_fenced(environment.lane_subject(FLOW_LANE), head, state.lane, [entry])
            late = AdmissionDecided(at=now(), seen=state.position, count=1, leader="s1")
            other = Append(execution_id=ids[1], function="f", expected=2, facts=[f.Admitted(n=2, at=now())])
            with pytest.raises(Conflict):
                await log.append_fenced(environment.lane_subject(FLOW_LANE), late, lane, [other])

        async def both() -> bool:
            return sorted(await admitted(log)) == sorted([ids[0], ids[2]])

        await eventually(both)


async def test_a_cancel_in_between_spoils_no_batch_for_long(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog
) -> None:
    """Executions that move while they are being admitted only make the scheduler decide again."""
    await declare(log, "f", concurrency=10_000)
    async with scheduler(nats_server, environment, "s1") as only:
        ids = await enqueue(log, "f", 400)
        cancels = [
            Append(execution_id=each, function="f", facts=[f.Cancelled(n=2, at=now())], expected=1 + index)
            for index, each in enumerate(ids[::7])
        ]
        await log.append_many(cancels)
        await eventually(lambda: _true(only.admission.decisions >= 300 and not _waiting(only.admission.state)))
    found = await admitted(log)
    assert len(found) == len(set(found))


async def test_a_start_from_a_snapshot_is_a_start_from_zero(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog, connection: Connection
) -> None:
    """A scheduler that reads a snapshot and the rest of the log knows what one that read all knows."""
    payloads = Payloads(connection, environment)
    await declare(log, "f", concurrency=5, concurrency_key="args[0]")
    async with scheduler(nats_server, environment, "s1") as first:
        for key in "abc":
            await enqueue(log, "f", 20, concurrency=key)
        await eventually(lambda: _true(first.admission.decisions == 15))
        await eventually(lambda: _reached(first.admission, log))
        await Snapshots(payloads).save(first.admission)
        saved = first.admission.state.position
        await first.stop()
    late = await enqueue(log, "f", 10, concurrency="d")
    restored = await Snapshots(payloads).load(await log.last_sequence())
    assert restored.position == saved
    async with scheduler(nats_server, environment, "s2", restored) as second:
        await eventually(lambda: _true(second.admission.decisions == 5), within=20)
        await eventually(lambda: _reached(second.admission, log))
        zero = FlowState()
        reader = FlowReader(environment, zero)
        async for batch in log.follow(0):
            reader.take(batch)
            if zero.position >= second.admission.state.position:
                break
        assert frozen(zero) == frozen(second.admission.state)
    assert set(await admitted(log)) & set(late) == set(late[:5])


async def test_the_recorded_log_decides_the_same_again(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog
) -> None:
    """Each recorded batch follows from the log before it and the time in its head, and from nothing else."""
    await declare(log, "f", concurrency=7)
    await declare(log, "g", concurrency=7)
    change = LimitChanged(at=now(), target="environment", limit=8, author="t")
    await log.append_system("limit_changed", "environment", change)
    async with scheduler(nats_server, environment, "s1"):
        done: set[str] = set()
        await enqueue(log, "f", 30)
        await enqueue(log, "g", 30)
        for _ in range(4):
            await eventually(lambda done=done: _at_least(log, len(done) + 8))  # type: ignore[misc]
            for each in set(await admitted(log)) - done:
                state = fold_recorded(await log.find(each))
                assert state is not None
                await finish(log, state.function, each)
                done.add(each)
        await eventually(lambda: _at_least(log, len(done) + 8))
    await replay(environment, log)


async def replay(names: Names, log: JetStreamLog) -> None:
    """Fold the log anew, decide at each head, and compare."""
    entries: list[Any] = []
    async for batch in log.follow(0):
        entries += batch
        if batch[-1].sequence >= await log.last_sequence():
            break
    lane, batches = names.lane_subject(FLOW_LANE), 0
    for index, entry in enumerate(entries):
        if entry.subject != lane:
            continue
        head = decode_system_fact(entry.data)
        assert isinstance(head, AdmissionDecided)
        state = FlowState()
        FlowReader(names, state).take([each for each in entries[:index] if each.sequence <= head.seen])
        behind = entries[index + 1 : index + 1 + head.count]
        facts = [replace(decode_fact(each.data), id="") for each in behind]
        ids = [(names.parse_fact_subject(each.subject) or ("",))[0] for each in behind]
        again = decided_again(state, head, facts)
        assert list(zip(ids, facts, strict=True)) == [(e.execution_id, fact) for e in again for fact in e.facts]
        batches += 1
    assert batches >= 3


async def test_answers_tell_who_holds_the_slots(
    nats_server: EmbeddedServer, environment: Names, log: JetStreamLog, connection: Connection
) -> None:
    """Another service asks why something waits, and how full the limits are."""
    await declare(log, "f", concurrency=1)
    first, second = await enqueue(log, "f", 2)
    async with scheduler(nats_server, environment, "s1") as only:
        await eventually(lambda: _true(only.admission.decisions == 1))
        await Answers(only.admission, now).open(Questions(only.log.connection, environment))
        questions = Questions(connection, environment)
        answer = await questions.ask("why", second.encode())
        assert first.encode() in answer
        assert b'"rule":"concurrency"' in answer
        assert b'"used":1' in await questions.ask("limits")


async def test_many_keys_are_admitted_fast(nats_server: EmbeddedServer, environment: Names, log: JetStreamLog) -> None:
    """Thousands of keys cost no more than a few: far above 500 admissions a second even on a busy machine."""
    await declare(log, "f", concurrency=1, concurrency_key="args[0]")
    ids = [new_id() for _ in range(4000)]

    def keys(index: int) -> dict[str, str]:
        return {"concurrency": str(index % 2000)}

    entries = [
        Append(
            execution_id=each, function="f", expected=0,
            facts=[f.Enqueued(n=1, at=now(), function="f", trace_id=each, gated=True, keys=keys(index))],
        )
        for index, each in enumerate(ids)
    ]  # fmt: skip
    await log.append_many(entries)
    began = time.monotonic()
    async with scheduler(nats_server, environment, "s1") as only:
        await eventually(lambda: _true(only.admission.decisions == 2000), within=30)
        assert 2000 / (time.monotonic() - began) > 500


async def _true(value: bool) -> bool:
    return value


async def _at_least(log: JetStreamLog, count: int) -> bool:
    return len(await admitted(log)) >= count


async def _reached(admission: Admission, log: JetStreamLog) -> bool:
    return admission.state.position >= await log.last_sequence()


def _waiting(state: FlowState) -> list[str]:
    return [each for each, item in state.items.items() if not item.admitted]
