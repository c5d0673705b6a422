"""Cancelling, moving and rerunning executions."""

import asyncio
from typing import Any

import pytest
from msgspec import Raw

from penstock.domain.execution.commands import Start, Succeed
from penstock.domain.execution.facts import Enqueued
from penstock.handle import handle
from running_ingest import Ingest

ADD = "/v1/functions/add/executions"
NOBODY = "ab" * 16


async def start(ingest: Ingest, **options: Any) -> str:
    body = (await ingest.post(ADD, {"args": [1, 2], "options": options})).json()
    return str(body["id"])


async def run(ingest: Ingest, execution_id: str, *, to_the_end: bool) -> None:
    """What a runner would append."""
    runtime = ingest.runtime
    await handle(runtime.log, execution_id, Start(activation=1, runner="r1"), runtime.clock, runtime.dice)
    if to_the_end:
        command = Succeed(activation=1, result=Raw(b"3"))
        await handle(runtime.log, execution_id, command, runtime.clock, runtime.dice)


async def test_a_queued_execution_is_cancelled_at_once(ingest: Ingest) -> None:
    """And again, which changes nothing."""
    execution_id = await start(ingest)
    for _ in range(2):
        answer = await ingest.post(f"/v1/executions/{execution_id}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert len(await ingest.facts(execution_id)) == 2


async def test_cancelling_a_running_execution_tells_its_runner(ingest: Ingest) -> None:
    """It is `cancelling` until the attempt has stopped; the hint carries its id."""
    execution_id = await start(ingest)
    await run(ingest, execution_id, to_the_end=False)
    hint: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def on_hint(message: Any) -> None:
        hint.set_result(message.data)

    await ingest.connection.nc.subscribe(ingest.names.hint_subject("r1"), cb=on_hint)
    await ingest.connection.nc.flush()
    answer = await ingest.post(f"/v1/executions/{execution_id}/cancel", {"force": True})
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelling")
    assert (await asyncio.wait_for(hint, 5)).decode() == execution_id


async def test_a_final_execution_cannot_be_cancelled(ingest: Ingest) -> None:
    """409 with the state that forbids it."""
    execution_id = await start(ingest)
    await run(ingest, execution_id, to_the_end=True)
    answer = await ingest.post(f"/v1/executions/{execution_id}/cancel")
    assert answer.status_code == 409
    assert (answer.json()["code"], answer.json()["state"]) == ("wrong_state", "succeeded")


@pytest.mark.parametrize("path", ["cancel", "reschedule", "rerun"])
@pytest.mark.parametrize("execution_id", [NOBODY, "nonsense", "0" * 32, NOBODY.upper()])
async def test_an_unknown_execution_is_not_found(ingest: Ingest, path: str, execution_id: str) -> None:
    """Whether the id is well-formed or not."""
    answer = await ingest.post(f"/v1/executions/{execution_id}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_execution")


async def test_a_scheduled_execution_can_be_moved_and_then_started_now(ingest: Ingest) -> None:
    """A move replaces the wake-up; {} makes it runnable."""
    execution_id = await start(ingest, delay="1h")
    moved = await ingest.post(f"/v1/executions/{execution_id}/reschedule", {"delay": "2h"})
    assert (moved.status_code, moved.json()["state"]) == (202, "scheduled")
    now = await ingest.post(f"/v1/executions/{execution_id}/reschedule")
    assert (now.status_code, now.json()["state"]) == (202, "queued")


async def test_a_started_execution_cannot_be_moved(ingest: Ingest) -> None:
    """409 with the state."""
    execution_id = await start(ingest)
    await run(ingest, execution_id, to_the_end=False)
    answer = await ingest.post(f"/v1/executions/{execution_id}/reschedule", {"delay": "1h"})
    assert (answer.status_code, answer.json()["state"]) == (409, "running")


async def test_a_rerun_is_a_new_execution_linked_to_the_old(ingest: Ingest) -> None:
    """Same function, arguments and metadata; the old one stays as it is."""
    execution_id = await start(ingest, metadata={"user": "u1"})
    answer = await ingest.post(f"/v1/executions/{execution_id}/rerun")
    assert answer.status_code == 202
    fact = await ingest.first(answer.json()["id"])
    assert answer.json()["id"] != execution_id
    assert isinstance(fact, Enqueued)
    assert (fact.rerun_of, bytes(fact.args), fact.metadata) == (execution_id, b"[1,2]", {"user": "u1"})
    assert len(await ingest.facts(execution_id)) == 1


async def test_a_rerun_with_a_key_happens_once(ingest: Ingest) -> None:
    """A repeated request names the same new execution."""
    execution_id = await start(ingest)
    answers = [await ingest.post(f"/v1/executions/{execution_id}/rerun", idempotency_key="again") for _ in range(2)]
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("cancel", {"forced": True}, "invalid_option"),
        ("cancel", {"force": "yes"}, "invalid_option"),
        ("reschedule", {"delay": "5m", "at": "2030-01-01T00:00:00Z"}, "invalid_option"),
        ("reschedule", {"delay": "later"}, "invalid_duration"),
        ("reschedule", {"at": "noon"}, "invalid_option"),
        ("rerun", {"args": [1]}, "invalid_option"),
    ],
)
async def test_a_bad_body_is_refused(ingest: Ingest, path: str, body: Any, code: str) -> None:
    """Unknown members, wrong types, contradictions."""
    execution_id = await start(ingest)
    answer = await ingest.post(f"/v1/executions/{execution_id}/{path}", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_bad_move_points_to_its_own_field(ingest: Ingest) -> None:
    """`at` and `delay` stand at the top of this body, not below `options`."""
    execution_id = await start(ingest, delay="1h")
    answer = await ingest.post(f"/v1/executions/{execution_id}/reschedule", {"delay": "soon"})
    body = answer.json()
    assert (answer.status_code, body["code"], body["errors"][0]["pointer"]) == (422, "invalid_duration", "/delay")
