"""Moving and cancelling race with the start and with the timer: each race settles one way, and both learn which."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.handle import handle
from running_ingest import Ingest
from sample_facts import now

ROUNDS = 25


async def created(ingest: Ingest, **options: Any) -> str:
    response = await ingest.post("/v1/functions/anything/executions", {"options": options})
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def carried_out(ingest: Ingest, execution_id: str, command: c.AnyCommand, moment: int = 0) -> str:
    """What the other side hears: the kinds of its facts, or the code of its refusal."""
    try:
        done = await handle(ingest.runtime.log, execution_id, command, lambda: moment or now(), lambda: 0.0)
    except Rejected as refusal:
        return refusal.code
    return " ".join(f.kind_of(fact) for fact in done.facts)


async def kinds(ingest: Ingest, execution_id: str) -> list[str]:
    return [f.kind_of(fact) for fact in await ingest.facts(execution_id)]


@pytest.mark.parametrize("verb", ["reschedule", "cancel"])
async def test_a_race_with_the_start_settles_one_way_and_says_which(ingest: Ingest, verb: str) -> None:
    """Moved or cancelled and never started, or started and refused with the state."""
    body = {"delay": "1h"} if verb == "reschedule" else {"force": False}
    for _ in range(ROUNDS):
        execution_id = await created(ingest)
        answer, started = await asyncio.gather(
            ingest.post(f"/v1/executions/{execution_id}/{verb}", body),
            carried_out(ingest, execution_id, c.Start(activation=1, runner="r")),
        )
        found = await kinds(ingest, execution_id)
        if verb == "cancel":
            expected = (
                (["enqueued", "started", "cancel_requested"], "started", 202)
                if started == "started"
                else (["enqueued", "cancelled"], "activation_closed", 202)
            )
        else:
            expected = (
                (["enqueued", "started"], "started", 409)
                if started == "started"
                else (["enqueued", "rescheduled"], "activation_closed", 202)
            )
        assert (found, started, answer.status_code) == expected
        if answer.status_code == 409:
            assert (answer.json()["code"], answer.json()["state"]) == ("wrong_state", "running")


@pytest.mark.parametrize("verb", ["reschedule", "cancel"])
async def test_a_race_with_the_timer_settles_one_way(ingest: Ingest, verb: str) -> None:
    """Moved before or after it became due, or cancelled: never both due and gone."""
    body = {"delay": "2h"} if verb == "reschedule" else {}
    for _ in range(ROUNDS):
        execution_id = await created(ingest, delay="1h")
        answer, _ = await asyncio.gather(
            ingest.post(f"/v1/executions/{execution_id}/{verb}", body),
            carried_out(ingest, execution_id, c.WakeUp(), now() + 3_700_000_000),
        )
        assert answer.status_code == 202
        last = "rescheduled" if verb == "reschedule" else "cancelled"
        found = await kinds(ingest, execution_id)
        assert found in (["enqueued", last], ["enqueued", "due", last])
        assert await ingest.state(execution_id) == ("scheduled" if verb == "reschedule" else "cancelled")


async def test_two_who_start_it_now_make_it_due_once(ingest: Ingest) -> None:
    """Both are told that it is queued."""
    execution_id = await created(ingest, delay="1h")
    answers = await asyncio.gather(*(ingest.post(f"/v1/executions/{execution_id}/reschedule", {}) for _ in range(5)))
    assert {(each.status_code, each.json()["state"]) for each in answers} == {(202, "queued")}
    assert await kinds(ingest, execution_id) == ["enqueued", "due"]


async def test_a_start_in_twenty_years_is_taken_and_one_beyond_is_refused(ingest: Ingest) -> None:
    """The wake-up is set on the server at once."""
    moment = datetime.now(UTC) + timedelta(days=19 * 365)
    assert await ingest.state(await created(ingest, at=moment.isoformat())) == "scheduled"
    far = {"options": {"at": "2099-01-01T00:00:00Z"}}
    response = await ingest.post("/v1/functions/anything/executions", far)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_option")


async def test_moving_it_past_its_last_start_is_refused(ingest: Ingest) -> None:
    """It would be discarded before it could start."""
    execution_id = await created(ingest, delay="1h", discard_after="1h")
    refused = await ingest.post(f"/v1/executions/{execution_id}/reschedule", {"delay": "3h"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_option")
    moved = await ingest.post(f"/v1/executions/{execution_id}/reschedule", {"delay": "90m"})
    assert (moved.status_code, moved.json()["state"]) == (202, "scheduled")
    assert await kinds(ingest, execution_id) == ["enqueued", "rescheduled"]
