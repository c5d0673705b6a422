"""Waits on a real server: each is over on time, once, whether the execution is suspended or runs meanwhile."""

import asyncio

import pytest

from eventually import eventually
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.jetstream.connect import Connection
from penstock.jetstream.hints import HintInbox
from penstock.wire.names import START_WAIT, Names, wait_token
from sample_facts import new_id, now
from scheduler_stage import SECOND, Stage

SUSPENDED = ["enqueued", "started", "wait_opened"]


def sleep(key: str, until: int, **fields: str) -> f.Wait:
    return f.Wait(key=key, wait="sleep", until=until, **fields)  # type: ignore[arg-type]


@pytest.mark.usefixtures("waking")
async def test_a_sleep_ends_on_time_and_never_early(stage: Stage) -> None:
    """Its timer makes the execution runnable."""
    until = now() + SECOND // 2
    execution_id = await stage.waiting(sleep("nap", until))
    await stage.timers.set(execution_id, wait_token("nap"), until)
    facts = await eventually(lambda: _facts(stage, execution_id, 4))
    woken = facts[3]
    assert isinstance(woken, f.Woken)
    assert (woken.wait, woken.outcome, woken.wakes) == ("nap", "elapsed", True)
    assert until <= woken.at < until + SECOND


async def test_a_sleep_whose_timer_was_lost_is_woken_by_the_sweep(stage: Stage) -> None:
    """When it is overdue."""
    execution_id = await stage.waiting(sleep("nap", now() + SECOND // 10))
    await stage.follow()
    await eventually(lambda: _swept(stage, execution_id, [*SUSPENDED, "woken"]))
    assert execution_id not in stage.agenda.entries


async def test_a_lost_timer_of_a_wait_is_set_again(stage: Stage) -> None:
    """Before its time comes, and only where there is none."""
    lost = await stage.waiting(sleep("nap", now() + 60 * SECOND), sleep("later", now() + 90 * SECOND))
    kept = await stage.waiting(sleep("nap", now() + 60 * SECOND))
    await stage.timers.set(kept, wait_token("nap"), now() + 60 * SECOND)
    await stage.follow()
    await stage.sweep.round()
    assert await stage.timers.all_pending() == {(lost, wait_token("nap")), (kept, wait_token("nap"))}


async def test_the_next_wait_is_looked_after_when_the_first_is_over(stage: Stage) -> None:
    """Its timer is looked for, too."""
    execution_id = await stage.waiting(sleep("soon", now() + SECOND // 10), sleep("later", now() + 60 * SECOND))
    await stage.follow()
    await eventually(lambda: _swept(stage, execution_id, [*SUSPENDED, "woken"]))
    await stage.follow()
    await stage.sweep.round()
    assert await stage.timers.pending(execution_id, wait_token("later"))


async def test_a_wait_times_out_while_the_execution_runs(stage: Stage) -> None:
    """It makes nothing runnable, and the runner hears of it at once."""
    wait = f.Wait(key="ok", wait="event", name="doc.approved", until=now() + SECOND // 10)
    execution_id = await stage.waiting(wait, suspends=False)
    await stage.follow()
    await eventually(lambda: _swept(stage, execution_id, [*SUSPENDED, "woken"]))
    woken = (await stage.facts(execution_id))[3]
    assert isinstance(woken, f.Woken)
    assert (woken.outcome, woken.wakes) == ("timed_out", False)
    assert (await stage.state(execution_id)).owner == "r1"


async def test_the_runner_of_a_live_execution_gets_a_hint(
    stage: Stage, connection: Connection, environment: Names
) -> None:
    """As soon as something of it is over."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    await HintInbox(connection, environment, heard.put).open("r1")
    execution_id = await stage.waiting(sleep("nap", now() + SECOND // 5), suspends=False)
    await stage.leases.renew("r1")
    await stage.follow()
    await eventually(lambda: _swept(stage, execution_id, [*SUSPENDED, "woken"]))
    async with asyncio.timeout(5):
        assert await heard.get() == execution_id


async def test_a_wait_goes_on_through_a_failed_attempt(stage: Stage) -> None:
    """Its time comes in the backoff, and it is over once the next attempt runs."""
    execution_id = await stage.waiting(sleep("nap", now() + SECOND // 5), suspends=False)
    activation = (await stage.state(execution_id)).activation
    await stage.send(execution_id, c.LoseAttempt(activation=activation, reason="drained"))
    await stage.follow()
    kinds = [*SUSPENDED, "attempt_lost", "due"]
    await eventually(lambda: _swept(stage, execution_id, [*kinds, "woken"]))
    await stage.start(execution_id)
    assert "nap" in (await stage.state(execution_id)).ops


async def test_the_alternatives_of_a_wait_end_with_it(stage: Stage) -> None:
    """No time of theirs is looked after any more."""
    execution_id = await stage.waiting(
        sleep("a", now() + SECOND // 10, group="g"),
        f.Wait(key="b", wait="event", name="x", until=now() + 60 * SECOND, group="g"),
    )
    await stage.follow()
    assert stage.agenda.events.names == {"x"}
    await eventually(lambda: _swept(stage, execution_id, [*SUSPENDED, "woken"]))
    await stage.follow()
    assert not stage.agenda.entries
    assert not stage.agenda.events


async def test_a_wake_up_before_the_end_of_a_wait_sets_its_timer_again(stage: Stage) -> None:
    """Under the name of the wait, so that there is one of each."""
    execution_id = await stage.waiting(sleep("nap", now() + 60 * SECOND))
    await stage.waker.wake(execution_id)
    assert await stage.kinds(execution_id) == SUSPENDED
    assert await stage.timers.all_pending() == {(execution_id, wait_token("nap"))}


async def test_copies_that_wake_at_once_end_a_wait_once(stage: Stage) -> None:
    """The log decides who was first."""
    execution_id = await stage.waiting(sleep("nap", now() + SECOND // 5))
    await stage.follow()
    await eventually(lambda: _over(stage, execution_id))
    await asyncio.gather(*(stage.waker.wake(execution_id) for _ in range(5)))
    assert await stage.kinds(execution_id) == [*SUSPENDED, "woken"]


async def test_what_only_waits_for_others_is_forgotten_until_they_come(stage: Stage) -> None:
    """A wait without a time costs the scheduler no memory; one for an event does."""
    await stage.waiting(f.Wait(key="kids", wait="children", children=[new_id()]))
    known = await stage.waiting(f.Wait(key="ok", wait="event", name="doc.approved", after=7))
    await stage.follow()
    assert set(stage.agenda.entries) == {known}
    (wait,) = stage.agenda.events.of("doc.approved")
    assert (wait.execution_id, wait.key, wait.after) == (known, "ok", 7)


async def test_wake_ups_that_nobody_needs_are_removed(stage: Stage) -> None:
    """Of a wait that ended otherwise, of its alternatives, and of a start that was cancelled; not what is open."""
    far = now() + 3600 * SECOND
    waits = [f.Wait(key=key, wait="event", name="x", until=far, group="g") for key in ("a", "b")]
    execution_id = await stage.waiting(*waits, sleep("open", far))
    delayed = await stage.create(run_at=far)
    for key in ("a", "b", "open"):
        await stage.timers.set(execution_id, wait_token(key), far)
    await stage.timers.set(delayed, START_WAIT, far)
    await stage.send(execution_id, c.CompleteWait(wait="a", outcome="event"))
    await stage.send(delayed, c.RequestCancel())
    await stage.follow()
    await stage.sweep.round()
    assert await stage.timers.all_pending() == {(execution_id, wait_token("open"))}


async def test_a_cancelled_wait_leaves_nothing_behind(stage: Stage) -> None:
    """Neither a time nor an event is waited for."""
    execution_id = await stage.waiting(
        sleep("nap", now() + 60 * SECOND), f.Wait(key="ok", wait="event", name="doc.approved")
    )
    await stage.follow()
    await stage.send(execution_id, c.RequestCancel())
    await stage.follow()
    assert not stage.agenda.entries
    assert not stage.agenda.events


async def test_a_gated_execution_that_was_delayed_queues_up_for_admission(stage: Stage) -> None:
    """Also where the agenda saves the read."""
    execution_id = await stage.create(run_at=now(), gated=True)
    retried = await stage.create(gated=True)
    await stage.follow()
    await stage.waker.wake(execution_id)
    due = (await stage.facts(execution_id))[1]
    assert isinstance(due, f.Due)
    assert due.gated
    assert retried not in stage.agenda.entries
    assert not await stage.timers.pending(execution_id, START_WAIT)


async def _facts(stage: Stage, execution_id: str, count: int) -> list[f.AnyFact | f.Unknown]:
    facts = await stage.facts(execution_id)
    return facts if len(facts) == count else []


async def _over(stage: Stage, execution_id: str) -> bool:
    wakes_at = stage.agenda.entries[execution_id].wakes_at
    return wakes_at is not None and now() >= wakes_at


async def _swept(stage: Stage, execution_id: str, kinds: list[str]) -> bool:
    await stage.sweep.wake_overdue()
    await stage.follow()
    return await stage.kinds(execution_id) == kinds
