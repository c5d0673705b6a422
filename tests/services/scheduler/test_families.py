"""Ends of executions on a real log: parents are told once, and the children that an end leaves behind are cancelled."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Raw

from eventually import eventually
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.retries import RetryPolicy
from penstock.jetstream.api import request
from penstock.jetstream.connect import Connection
from penstock.jetstream.ends import EndFacts
from penstock.jetstream.inbox import Hints
from penstock.jetstream.positions import Positions
from penstock.wire.names import Names
from penstock_scheduler.carrier import Carrier
from penstock_scheduler.ends import EndLoop
from penstock_scheduler.families import Families
from sample_facts import FUNCTION, new_id, now
from scheduler_stage import Stage

BOOM = f.ErrorInfo(code="user_error", message="boom")


class Copy:
    """The loop of one scheduler copy that takes ends."""

    def __init__(self, connection: Connection, names: Names, stage: Stage) -> None:
        self.source = EndFacts(connection, names, names.ends_consumer)
        families = Families(Carrier(stage.log, Hints(connection, names), now, lambda: 0.0), now)
        self._loop = EndLoop(self.source, stage.log, [families.tell_parent, families.cancel_children])
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = asyncio.create_task(self._loop.run())

    async def stop(self) -> None:
        await self.source.stop()
        if self._task is not None:
            await self._task


@pytest.fixture
async def copies(connection: Connection, environment: Names, stage: Stage) -> AsyncIterator[list[Copy]]:
    """Two copies, running."""
    copies = [Copy(connection, environment, stage) for _ in range(2)]
    for copy in copies:
        copy.begin()
    yield copies
    for copy in copies:
        await copy.stop()


async def family(stage: Stage, count: int, suspends: bool = True, **call: Any) -> tuple[str, list[str]]:
    """A parent that called children under the name `kids`, and waits for them unless they are detached."""
    parent = await stage.create()
    await stage.start(parent)
    ids = [new_id() for _ in range(count)]
    children = [f.Child(id=each, function=FUNCTION) for each in ids]
    activation = (await stage.state(parent)).activation
    await stage.send(parent, c.CallChildren(activation=activation, call="kids", children=children, **call))
    await asyncio.gather(*(stage.create(each, parent_id=parent, root_id=parent) for each in ids))
    if not call.get("detached"):
        wait = f.Wait(key="kids", wait="children", children=ids)
        await stage.wait_for(parent, wait, suspends=suspends)
    return parent, ids


async def succeed(stage: Stage, child: str, result: bytes = b"null", ref: str | None = None) -> None:
    activation = await stage.start(child, "r2")
    await stage.send(child, c.Succeed(activation=activation, result=Raw(result), result_ref=ref))


async def fail(stage: Stage, execution_id: str) -> None:
    activation = (await stage.state(execution_id)).activation
    await stage.send(
        execution_id, c.Fail(activation=activation, error=BOOM, policy=RetryPolicy(retries=0), terminal=True)
    )


@pytest.mark.usefixtures("copies")
async def test_the_last_child_wakes_its_parent(stage: Stage) -> None:
    """Each result is in the history of the parent, whose last fact makes it runnable."""
    parent, (one, two) = await family(stage, 2)
    await succeed(stage, one, b"[1]")
    await eventually(lambda: _count(stage, parent, "child_completed", 1))
    assert (await stage.state(parent)).suspended
    await succeed(stage, two, ref="large")
    await eventually(lambda: _count(stage, parent, "child_completed", 2))
    state = await stage.state(parent)
    assert (state.state, bool(state.activation)) == ("queued", True)
    assert [bytes(state.children[one].result), state.children[two].result_ref] == [b"[1]", "large"]
    assert state.ops["kids"].done


@pytest.mark.usefixtures("copies")
async def test_a_child_that_failed_tells_its_error(stage: Stage) -> None:
    """As one that was cancelled does."""
    parent, (one, two) = await family(stage, 2)
    await stage.start(one, "r2")
    await fail(stage, one)
    await stage.send(two, c.RequestCancel())
    await eventually(lambda: _count(stage, parent, "child_completed", 2))
    children = (await stage.state(parent)).children
    assert (children[one].state, children[one].error) == ("failed", BOOM)
    assert children[two].state == "cancelled"
    assert children[two].error is not None


@pytest.mark.usefixtures("copies")
async def test_many_children_that_end_at_once_are_all_told_and_once(stage: Stage) -> None:
    """With two copies of the scheduler, which take each other's turns."""
    parent, ids = await family(stage, 120)
    await asyncio.gather(*(succeed(stage, each, b"%d" % index) for index, each in enumerate(ids)))
    await eventually(lambda: _count(stage, parent, "child_completed", 120), within=30)
    facts = [fact for fact in await stage.facts(parent) if isinstance(fact, f.ChildCompleted)]
    assert sorted(fact.child for fact in facts) == sorted(ids)
    assert [fact.wakes for fact in facts] == [False] * 119 + [True]


@pytest.mark.usefixtures("copies")
async def test_a_parent_that_runs_is_told_without_being_made_runnable(stage: Stage) -> None:
    """It goes on in the same activation."""
    parent, (child,) = await family(stage, 1, suspends=False)
    await succeed(stage, child)
    await eventually(lambda: _count(stage, parent, "child_completed", 1))
    state = await stage.state(parent)
    assert (state.state, state.owner) == ("running", "r1")


@pytest.mark.usefixtures("copies")
async def test_a_detached_child_and_one_only_enqueued_tell_nothing(stage: Stage) -> None:
    """Nobody waits for them; ends after them are taken all the same."""
    parent, (detached,) = await family(stage, 1, detached=True)
    other = await stage.create(parent_id=parent, root_id=parent)
    _, (last,) = waited = await family(stage, 1)
    for each in (detached, other, last):
        await succeed(stage, each)
    await eventually(lambda: _count(stage, waited[0], "child_completed", 1))
    assert await stage.kinds(parent) == ["enqueued", "started", "child_called"]


@pytest.mark.usefixtures("copies")
async def test_a_cancel_spreads_to_all_generations(stage: Stage) -> None:
    """Children that wait are cancelled at once, those that run are asked to stop."""
    parent, (idle, busy) = await family(stage, 2)
    grandchild = new_id()
    activation = await stage.start(busy, "r2")
    child = f.Child(id=grandchild, function=FUNCTION)
    await stage.send(busy, c.CallChildren(activation=activation, call="kid", children=[child]))
    await stage.create(grandchild, parent_id=busy, root_id=parent)
    await stage.wait_for(busy, f.Wait(key="kid", wait="children", children=[grandchild]))
    await stage.start(grandchild, "r2")
    await stage.send(parent, c.RequestCancel())
    await eventually(lambda: _ended(stage, idle, "cancelled"))
    await eventually(lambda: _ended(stage, busy, "cancelled"))
    await eventually(lambda: _ended(stage, grandchild, "cancelling"))


@pytest.mark.usefixtures("copies")
async def test_what_is_left_alone_by_a_cancel_goes_on(stage: Stage) -> None:
    """`on_cancel` "leave" says so."""
    parent, (child,) = await family(stage, 1, on_cancel="leave")
    marker, (last,) = await family(stage, 1)
    for each in (parent, marker):
        await stage.send(each, c.RequestCancel())
    await eventually(lambda: _ended(stage, last, "cancelled"))
    assert (await stage.state(child)).state == "queued"


@pytest.mark.usefixtures("copies")
async def test_the_child_of_another_is_not_cancelled(stage: Stage) -> None:
    """A key led two parents to one child: the one that did not make it leaves it alone."""
    first, (shared,) = await family(stage, 1)
    second = await stage.create()
    activation = await stage.start(second)
    children = [f.Child(id=shared, function=FUNCTION)]
    await stage.send(second, c.CallChildren(activation=activation, call="kid", children=children))
    marker, (last,) = await family(stage, 1)
    await fail(stage, second)
    await stage.send(marker, c.RequestCancel())
    await eventually(lambda: _ended(stage, last, "cancelled"))
    assert (await stage.state(shared)).state == "queued"
    await stage.send(first, c.RequestCancel())
    await eventually(lambda: _ended(stage, shared, "cancelled"))


@pytest.mark.usefixtures("copies")
async def test_a_failure_cancels_the_children_that_were_awaited(stage: Stage) -> None:
    """Detached ones are on their own."""
    detaching, (detached,) = await family(stage, 1, detached=True)
    await fail(stage, detaching)
    parent, (child,) = await family(stage, 1, suspends=False)
    await fail(stage, parent)
    await eventually(lambda: _ended(stage, child, "cancelled"))
    assert (await stage.state(detached)).state == "queued"


async def test_a_child_made_after_its_parents_end_is_cancelled_too(stage: Stage, copies: list[Copy]) -> None:
    """The runner says first that it calls a child, and may be slow to make it."""
    parent = await stage.create()
    activation, child = await stage.start(parent), new_id()
    called = f.Child(id=child, function=FUNCTION)
    await stage.send(parent, c.CallChildren(activation=activation, call="kid", children=[called]))
    await stage.send(parent, c.RequestCancel())
    await stage.send(parent, c.ConfirmCancel(activation=activation))
    await stage.create(child, parent_id=parent, root_id=parent)
    await eventually(lambda: _ended(stage, child, "cancelled"))


async def test_ends_from_before_any_scheduler_are_told(
    stage: Stage, connection: Connection, environment: Names
) -> None:
    """Also when the consumer was lost and is made anew; what was settled is not read again."""
    parent, (one, two) = await family(stage, 2)
    await succeed(stage, one)
    copy = Copy(connection, environment, stage)
    copy.begin()
    await eventually(lambda: _count(stage, parent, "child_completed", 1))
    positions = Positions(connection, environment)

    async def marked() -> bool:
        await copy.source.mark()
        return bool(await positions.load(f"consumer-{environment.ends_consumer}"))

    await eventually(marked)
    await copy.stop()
    stream, name = environment.executions, environment.ends_consumer
    await request(connection, f"$JS.API.CONSUMER.DELETE.{stream}.{name}")
    await succeed(stage, two)
    again = Copy(connection, environment, stage)
    again.begin()
    await eventually(lambda: _count(stage, parent, "child_completed", 2))
    info = await request(connection, f"$JS.API.CONSUMER.INFO.{stream}.{name}")
    assert info["config"]["opt_start_seq"] == (await positions.load(f"consumer-{name}") or 0) + 1
    await again.stop()


async def _count(stage: Stage, execution_id: str, kind: str, count: int) -> bool:
    return (await stage.kinds(execution_id)).count(kind) == count


async def _ended(stage: Stage, execution_id: str, state: str) -> bool:
    return (await stage.state(execution_id)).state == state
