"""The scheduler on a real server: what is due happens, once, never early, and what was lost is repaired."""

import asyncio

import pytest

from eventually import eventually
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.retries import RetryPolicy
from penstock.wire.names import START_WAIT
from sample_facts import new_id, now
from scheduler_stage import SECOND, Stage


@pytest.mark.usefixtures("waking")
async def test_a_delayed_execution_becomes_due_and_never_early(stage: Stage) -> None:
    """The fact is not older than the time that was asked for."""
    run_at = now() + SECOND // 2
    execution_id = await stage.create(run_at=run_at)
    await stage.timers.set(execution_id, START_WAIT, run_at)
    facts = await eventually(lambda: _two(stage, execution_id))
    assert f.kind_of(facts[1]) == "due"
    assert run_at <= facts[1].at < run_at + SECOND


@pytest.mark.usefixtures("waking")
async def test_a_wake_up_with_a_known_agenda_needs_no_read_and_decides_the_same(stage: Stage) -> None:
    """The entry is enough for the rule."""
    run_at = now() + SECOND // 2
    execution_id = await stage.create(run_at=run_at)
    await stage.follow()
    await stage.timers.set(execution_id, START_WAIT, run_at)
    facts = await eventually(lambda: _two(stage, execution_id))
    assert (facts[1].n, f.kind_of(facts[1])) == (2, "due")


@pytest.mark.usefixtures("waking")
async def test_a_backoff_ends_in_the_next_activation(stage: Stage) -> None:
    """A retry is woken like a delay."""
    execution_id = await _failed_once(stage)
    await stage.follow()
    await stage.timers.set(execution_id, START_WAIT, now())
    kinds = ["enqueued", "started", "retry_scheduled", "due"]
    await eventually(lambda: _are(stage, execution_id, kinds))


@pytest.mark.usefixtures("waking")
async def test_many_due_at_one_instant_are_woken_together(stage: Stage) -> None:
    """Three hundred, each once."""
    run_at = now() + SECOND
    ids = await asyncio.gather(*(stage.create(run_at=run_at) for _ in range(300)))
    await asyncio.gather(*(stage.timers.set(each, START_WAIT, run_at) for each in ids))
    await stage.follow()

    async def all_due() -> bool:
        await stage.follow()
        return not stage.agenda.entries

    await eventually(all_due)
    assert all([await stage.kinds(each) == ["enqueued", "due"] for each in ids])


async def test_a_wake_up_before_its_time_sets_the_timer_again(stage: Stage) -> None:
    """It was moved; the new time has its wake-up."""
    run_at = now() + 60 * SECOND
    execution_id = await stage.create(run_at=run_at)
    await stage.follow()
    await stage.waker.wake(execution_id)
    assert await stage.kinds(execution_id) == ["enqueued"]
    assert await stage.timers.pending(execution_id, START_WAIT)


async def test_a_wake_up_that_comes_twice_decides_nothing(stage: Stage) -> None:
    """Also when both come at once, and when the agenda has not seen the first."""
    execution_id = await stage.create(run_at=now())
    await stage.follow()
    await asyncio.gather(*(stage.waker.wake(execution_id) for _ in range(5)))
    assert await stage.kinds(execution_id) == ["enqueued", "due"]


async def test_a_wake_up_after_a_cancel_decides_nothing(stage: Stage) -> None:
    """It is over, and the agenda did not know yet."""
    execution_id = await stage.create(run_at=now())
    await stage.follow()
    await stage.send(execution_id, c.RequestCancel())
    await stage.waker.wake(execution_id)
    assert await stage.kinds(execution_id) == ["enqueued", "cancelled"]


async def test_a_wake_up_for_nothing_is_void(stage: Stage) -> None:
    """Nothing is known of the execution, and nobody fails."""
    await stage.waker.wake(new_id())


async def test_a_lost_timer_is_set_again(stage: Stage) -> None:
    """Before its time comes."""
    execution_id = await stage.create(run_at=now() + 60 * SECOND)
    await stage.follow()
    await stage.sweep.round()
    assert await stage.timers.pending(execution_id, START_WAIT)


async def test_a_wait_that_is_overdue_is_woken_without_a_timer(stage: Stage) -> None:
    """Its wake-up was lost."""
    execution_id = await stage.create(run_at=now())
    await stage.follow()
    await stage.sweep.round()
    assert await stage.kinds(execution_id) == ["enqueued", "due"]


async def test_an_attempt_whose_runner_lapsed_is_lost_and_taken_up_again(stage: Stage) -> None:
    """It has no lease."""
    execution_id = await stage.create()
    await stage.send(execution_id, c.Start(activation=1, runner="r-dead"))
    await stage.follow()
    await stage.sweep.round()
    assert await stage.kinds(execution_id) == ["enqueued", "started", "attempt_lost", "due"]


async def test_an_attempt_whose_runner_is_alive_is_left_alone(stage: Stage) -> None:
    """However long it takes."""
    execution_id = await stage.create()
    await stage.leases.renew("r-alive")
    await stage.send(execution_id, c.Start(activation=1, runner="r-alive"))
    await stage.follow()
    await stage.sweep.round()
    assert await stage.kinds(execution_id) == ["enqueued", "started"]


async def test_two_sweeps_at_once_lose_an_attempt_once(stage: Stage) -> None:
    """The log decides who was first."""
    execution_id = await stage.create()
    await stage.send(execution_id, c.Start(activation=1, runner="r-dead"))
    await stage.follow()
    await asyncio.gather(stage.sweep.round(), stage.sweep.round(), stage.sweep.round())
    assert await stage.kinds(execution_id) == ["enqueued", "started", "attempt_lost", "due"]


async def test_what_waits_in_the_queue_past_its_time_is_discarded(stage: Stage) -> None:
    """No runner is there to say so."""
    execution_id = await stage.create(discard_at=now())
    await stage.follow()
    await stage.sweep.round()
    assert await stage.kinds(execution_id) == ["enqueued", "discarded"]


async def test_a_delayed_execution_past_discard_at_is_discarded(stage: Stage) -> None:
    """Not made runnable first."""
    execution_id = await stage.create(run_at=now(), discard_at=now() + 1)
    await stage.follow()
    await stage.sweep.round()
    assert await stage.kinds(execution_id) == ["enqueued", "discarded"]


async def test_what_started_in_time_is_not_discarded(stage: Stage) -> None:
    """`discard_at` is about the start."""
    execution_id = await stage.create(discard_at=now() + SECOND)
    await stage.leases.renew("r-alive")
    await stage.send(execution_id, c.Start(activation=1, runner="r-alive"))
    await stage.follow()
    stage.sweep._late = -60 * SECOND
    stage.sweep._clock = lambda: now() + 60 * SECOND
    await stage.sweep.round()
    assert await stage.kinds(execution_id) == ["enqueued", "started"]


async def test_a_discard_does_not_wait_for_the_next_round(stage: Stage) -> None:
    """It comes at its time, though nobody looks at the queue and the rounds are far apart."""
    execution_id = await stage.create(discard_at=now() + SECOND // 3)
    await stage.follow()
    stopping = asyncio.Event()
    sweeping = asyncio.create_task(stage.sweep.run(stopping, period=60))

    async def is_discarded() -> bool:
        return await stage.kinds(execution_id) == ["enqueued", "discarded"]

    await eventually(is_discarded)
    stopping.set()
    await sweeping


async def test_what_waits_past_the_time_of_the_whole_execution_fails(stage: Stage) -> None:
    """In the queue, and between attempts."""
    queued = await stage.create(deadline_at=now())
    retrying = await stage.create(deadline_at=now() + SECOND // 2)
    await stage.leases.renew("r-alive")
    await stage.send(retrying, c.Start(activation=1, runner="r-alive"))
    error = f.ErrorInfo(code="user_error")
    await stage.send(retrying, c.Fail(activation=1, error=error, policy=RetryPolicy(retries=1)))
    await stage.follow()

    async def has_failed() -> bool:
        await stage.sweep.round()
        return (await stage.kinds(retrying))[-1] == "failed"

    await eventually(has_failed)
    assert await stage.kinds(queued) == ["enqueued", "failed"]
    assert await stage.kinds(retrying) == ["enqueued", "started", "retry_scheduled", "failed"]


async def test_the_agenda_forgets_what_has_ended_and_what_only_queues(stage: Stage) -> None:
    """Its memory is what is open and needs it."""
    await stage.create()
    execution_id = await _failed_once(stage)
    await stage.follow()
    assert set(stage.agenda.entries) == {execution_id}
    await stage.send(execution_id, c.RequestCancel())
    await stage.follow()
    assert not stage.agenda.entries
    assert not stage.agenda.owned


async def _failed_once(stage: Stage) -> str:
    execution_id = await stage.create()
    await stage.send(execution_id, c.Start(activation=1, runner="r1"))
    policy = RetryPolicy(retries=1, shape="fixed", initial=0.0)
    error = f.ErrorInfo(code="user_error", message="boom")
    await stage.send(execution_id, c.Fail(activation=1, error=error, policy=policy))
    return execution_id


async def _two(stage: Stage, execution_id: str) -> list[f.AnyFact | f.Unknown]:
    facts = await stage.facts(execution_id)
    return facts if len(facts) == 2 else []


async def _are(stage: Stage, execution_id: str, kinds: list[str]) -> bool:
    return await stage.kinds(execution_id) == kinds
