"""Ticks on a real server: each exactly once, whatever happens to schedulers and wake-ups."""

import asyncio

from eventually import eventually
from penstock.domain.execution.facts import Enqueued
from penstock.domain.ids import tick_execution_id
from penstock.domain.schedule import facts as f
from penstock.domain.schedule.spec import ScheduleSpec, make_rule
from penstock.jetstream.timers import JetStreamTimers
from penstock.wire.names import TICK_WAIT
from running_schedules import Stage, killed
from sample_facts import now

SECOND = 1_000_000


def contiguous(entries: list[f.LedgerEntry]) -> bool:
    """Second by second: nothing missing, nothing twice."""
    ticks = [entry.tick for entry in entries]
    return ticks == list(range(ticks[0], ticks[-1] + 1, SECOND))


async def test_two_schedulers_give_each_tick_exactly_once(stage: Stage) -> None:
    """With the execution that the hash of schedule and tick names, runnable and never early."""
    async with stage.scheduler(), stage.scheduler():
        await stage.put("beat", every="1s", args=[1], metadata={"team": "a"})
        entries = await eventually(lambda: stage.at_least("beat", 4), within=15)
    assert contiguous(entries)
    for entry in entries:
        execution_id = tick_execution_id(stage.ingest.names.environment, "beat", entry.tick)
        assert entry.execution_id == execution_id
        facts = await stage.ingest.facts(execution_id)
        assert len(facts) == 1
        first = facts[0]
        assert isinstance(first, Enqueued)
        assert (first.function, bytes(first.args), first.metadata) == ("anything", b"[1]", {"team": "a"})
        assert first.at >= entry.tick
        assert first.trace_id == execution_id
        assert b"penstock.tick" in bytes(first.event or b"")


async def test_a_killed_scheduler_neither_loses_nor_repeats_a_tick(stage: Stage) -> None:
    """The other one goes on; what the first held comes again."""
    async with stage.scheduler() as first, stage.scheduler():
        await stage.put("beat", cron="* * * * * *", catch_up="all")
        await eventually(lambda: stage.at_least("beat", 2), within=15)
        await killed(first)
        entries = await eventually(lambda: stage.at_least("beat", 6), within=20)
    assert contiguous(entries)


async def test_a_lost_wake_up_is_noticed(stage: Stage) -> None:
    """Seconds late, and the ledger says so."""
    async with stage.scheduler():
        await stage.put("beat", every="4s")
        token = stage.ingest.names.schedule_token("beat")
        await eventually(lambda: stage.at_least("beat", 1), within=15)
        await JetStreamTimers(stage.ingest.connection, stage.ingest.names).clear(token, TICK_WAIT)
        entries = await eventually(lambda: stage.at_least("beat", 2), within=20)
    assert entries[1].outcome == "late"


async def test_what_was_missed_while_all_were_down_is_made_up_for_by_the_latest(stage: Stage) -> None:
    """An hour of minutes: one execution, and the rest in the ledger."""
    hour_ago = now() - 3600 * SECOND
    spec = ScheduleSpec(function="anything", rule=make_rule(hour_ago, cron="* * * * *"))
    put = f.SchedulePut(at=hour_ago, key="report", spec=spec)
    await stage.schedules.change("report", None, put)
    async with stage.scheduler():
        entries = await eventually(lambda: stage.at_least("report", 1), within=15)
    assert len(entries) == 1
    skipped = [entry for entry in await stage.ticks("report") if entry.outcome == "skipped"]
    assert [(entry.reason, entry.count) for entry in skipped] == [("missed", 59)]


async def test_a_kept_tick_starts_when_the_running_execution_has_ended(stage: Stage) -> None:
    """At once, not at the next tick."""
    async with stage.scheduler(), stage.scheduler():
        await stage.put("slow", every="2s", overlap="buffer_one")
        entries = await eventually(lambda: stage.at_least("slow", 1), within=15)

        async def buffered() -> bool:
            return any(entry.outcome == "buffered" for entry in await stage.ticks("slow"))

        await eventually(buffered, within=15)
        assert entries[0].execution_id is not None
        await stage.finish(entries[0].execution_id)
        entries = await eventually(lambda: stage.at_least("slow", 2), within=5)
    assert entries[1].reason == "buffered"
    ticks = [entry.tick for entry in entries]
    assert len(set(ticks)) == len(ticks)


async def test_cancel_old_stops_the_one_before(stage: Stage) -> None:
    """It had not started: it is cancelled."""
    async with stage.scheduler():
        await stage.put("newest", every="1s", overlap="cancel_old")
        entries = await eventually(lambda: stage.at_least("newest", 2), within=15)
    assert entries[0].execution_id is not None
    assert await stage.ingest.state(entries[0].execution_id) == "cancelled"


async def test_a_backfill_makes_each_tick_that_was_not_made_before(stage: Stage) -> None:
    """Asked for twice, it makes nothing twice."""
    async with stage.scheduler():
        await stage.put("daily", cron="0 0 * * *")
        span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-05T00:00:00Z"}
        for _ in range(2):
            response = await stage.ingest.post("/v1/schedules/daily/backfill", span)
            assert (response.status_code, response.json()["ticks"]) == (202, 5)
        await eventually(lambda: _count(stage, "daily", 10), within=15)
    outcomes = [(entry.outcome, entry.reason) for entry in await stage.ticks("daily")]
    assert outcomes == [("fired", "backfilled")] * 5 + [("skipped", "already_fired")] * 5


async def _count(stage: Stage, key: str, count: int) -> bool:
    return len(await stage.ticks(key)) >= count


async def test_a_deploy_makes_the_schedules_those_that_the_code_declares(stage: Stage) -> None:
    """What it dropped goes, what it changed changes, what was made by API stays."""

    def spec(**rule: str) -> ScheduleSpec:
        return ScheduleSpec(function="anything", rule=make_rule(now(), **rule), app="shop")  # type: ignore[arg-type]

    async def are(**expected: str) -> bool:
        found = {}
        for key in ("a", "b", "c"):
            state = await stage.schedules.read(key)
            if state is not None and state.spec is not None:
                found[key] = state.spec.rule.cron
        return found == expected

    await stage.put("c", cron="3 3 * * *")
    async with stage.scheduler(), stage.scheduler():
        first = {"a": spec(cron="1 1 * * *"), "b": spec(cron="2 2 * * *")}
        await stage.schedules.declare(f.SchedulesDeclared(at=now(), app="shop", schedules=first))
        await eventually(lambda: are(a="1 1 * * *", b="2 2 * * *", c="3 3 * * *"))
        second = {"b": spec(cron="4 4 * * *")}
        await stage.schedules.declare(f.SchedulesDeclared(at=now(), app="shop", schedules=second))
        await eventually(lambda: are(b="4 4 * * *", c="3 3 * * *"))
        timers = JetStreamTimers(stage.ingest.connection, stage.ingest.names)
        await eventually(lambda: timers.pending("b", TICK_WAIT))
        again = await stage.ingest.http.put("/v1/schedules/b", json={"function": "anything", "every": "1h"})
        assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


async def test_many_due_at_one_instant_share_their_writes(stage: Stage) -> None:
    """Two hundred schedules, one tick."""
    async with stage.scheduler(), stage.scheduler():
        moment = now() // (10 * SECOND) * 10 * SECOND + 10 * SECOND
        await asyncio.gather(*(stage.put(f"s{number}", every="10s") for number in range(200)))
        await eventually(lambda: now() > moment, within=12)

        async def all_fired() -> bool:
            found = await asyncio.gather(*(stage.fired(f"s{number}") for number in range(200)))
            return all(len({entry.tick for entry in entries}) == len(entries) > 0 for entries in found)

        await eventually(all_fired, within=15)
