"""Hooks on a real log: each outcome starts its own once, also when a copy of the scheduler ends half-way."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from msgspec import Raw

from eventually import eventually
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.hooks import Hooks
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.function.options import FunctionSpec
from penstock.domain.ids import hook_execution_id
from penstock.jetstream.connect import Connection
from penstock.jetstream.ends import EndFacts
from penstock.jetstream.registry import FunctionRegistry
from penstock.ports import Unavailable
from penstock.service.gate import Gate
from penstock.wire.names import Names
from penstock_scheduler.ends import Ended, EndLoop
from penstock_scheduler.hooks import HookStarter
from sample_facts import FUNCTION, now
from scheduler_stage import Stage

HOOKS = Hooks(on_failure="hurt", on_success="glad", on_cancel="calm")


class Dying:
    """A handler behind the hooks: the first time it sees an end, the copy loses its connection before the ack."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def handle(self, ended: Ended) -> None:
        self.seen.append(ended.state.id)
        if self.seen.count(ended.state.id) == 1:
            raise Unavailable("gone before the acknowledgement")


@pytest.fixture
async def gate(connection: Connection, environment: Names, stage: Stage) -> AsyncIterator[Gate]:
    """Knows the functions: `hurt` has a hook of its own."""
    registry = FunctionRegistry(connection, environment, stage.log)
    await registry.open()
    hurt = FunctionSpec(name="hurt", hooks=Hooks(on_failure="hurt"), total_timeout=60.0)
    for spec in (hurt, FunctionSpec(name=FUNCTION, hooks=HOOKS)):
        await registry.declare(spec, "r1")
        await registry.wait_for(spec.name, 10.0)
    yield Gate(environment, stage.log, registry)
    await registry.close()


@pytest.fixture
async def dying(connection: Connection, environment: Names, stage: Stage, gate: Gate) -> AsyncIterator[Dying]:
    """Two copies, each of which handles every end twice."""
    dying = Dying()
    starter = HookStarter(stage.log, gate.stamp_tick, environment.environment, now)
    sources = [EndFacts(connection, environment, environment.ends_consumer) for _ in range(2)]
    loops = [asyncio.create_task(EndLoop(each, stage.log, [starter.start, dying.handle]).run()) for each in sources]
    yield dying
    for source in sources:
        await source.stop()
    await asyncio.gather(*loops)


async def ended_as(stage: Stage, outcome: str) -> str:
    """An execution with hooks for everything that has ended like this."""
    run_at = now() + 10**9 if outcome == "discarded" else None
    execution_id = await stage.create(hooks=HOOKS, metadata={"user": "u1"}, run_at=run_at, discard_at=run_at and 1)
    if outcome == "discarded":
        await stage.send(execution_id, c.WakeUp())
    elif outcome == "cancelled":
        await stage.send(execution_id, c.RequestCancel())
    elif outcome == "succeeded":
        await stage.send(execution_id, c.Succeed(activation=await stage.start(execution_id), result=Raw(b"[7]")))
    else:
        error = f.ErrorInfo(code="user_error", type="ValueError", message="boom")
        command = c.Fail(activation=await stage.start(execution_id), error=error, policy=RetryPolicy(), terminal=True)
        await stage.send(execution_id, command)
    assert (await stage.state(execution_id)).state == outcome
    return execution_id


@pytest.mark.parametrize(
    ("outcome", "hook"), [("failed", "hurt"), ("succeeded", "glad"), ("cancelled", "calm"), ("discarded", "calm")]
)
async def test_an_end_starts_its_hook_once_though_it_is_handled_twice(
    outcome: str, hook: str, stage: Stage, environment: Names, dying: Dying
) -> None:
    """The copy that stored the hook's first fact is gone before it acknowledges; another one finds it stored."""
    execution_id = await ended_as(stage, outcome)
    await eventually(lambda: dying.seen.count(execution_id) == 2)
    end = (await stage.facts(execution_id))[-1]
    made = await stage.log.find(hook_execution_id(environment.environment, execution_id, end.n))
    assert [(each.function, f.kind_of(each.fact)) for each in made] == [(hook, "enqueued")]
    first = made[0].fact
    assert isinstance(first, f.Enqueued)
    assert (first.parent_id, first.root_id, first.hooks) == (execution_id, execution_id, Hooks())
    assert (first.deadline_at is not None) == (hook == "hurt")
    assert first.event is not None
    told = msgspec.json.decode(first.event)
    assert (told["name"], told["subject"]) == (f"penstock.execution.{outcome}", execution_id)
    execution = told["data"]["execution"]
    assert (execution["id"], execution["function"], execution["state"]) == (execution_id, FUNCTION, outcome)
    assert execution["metadata"] == {"user": "u1"}
    assert told["data"].get("result") == ([7] if outcome == "succeeded" else None)


async def test_every_door_writes_the_hooks_into_the_first_fact(gate: Gate) -> None:
    """What ends it then finds them in the log, whatever becomes of the function."""
    fact = f.Enqueued(n=1, at=1, function=FUNCTION, trace_id="0" * 31 + "1")
    assert gate.stamp(fact).hooks == gate.stamp_tick(fact).hooks == HOOKS
