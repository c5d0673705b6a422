"""Restarting from a chosen step."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from msgspec import Raw

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.inherit import decode_inherited
from penstock.domain.execution.retries import RetryPolicy
from penstock.handle import handle
from penstock.jetstream.objects import Payloads
from penstock.jetstream.server import EmbeddedServer
from running_ingest import Ingest, running_ingest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ingest(nats_server: EmbeddedServer) -> AsyncIterator[Ingest]:
    """One service for all tests here: each has executions of its own."""
    async with running_ingest(nats_server.url) as service:
        yield service


pytestmark = pytest.mark.asyncio(loop_scope="module")


def step(name: str, result: bytes = b"1") -> c.CompleteStep:
    return c.CompleteStep(activation=1, step=name, started_at=0, result=Raw(result))


async def failed(ingest: Ingest, execution_id: str | None = None) -> str:
    """An execution that failed after `fetch` and `charge`, in `store`."""
    if execution_id is None:
        execution_id = str((await ingest.post("/v1/functions/add/executions", {"args": [1, 2]})).json()["id"])
    boom = f.ErrorInfo(code="user_error", message="boom")
    for command in (
        c.Start(activation=1, runner="r1"), step("fetch", b'"page"'), step("charge"), step("store"),
        c.Fail(activation=1, error=boom, policy=RetryPolicy()),
    ):  # fmt: skip
        runtime = ingest.runtime
        await handle(runtime.log, execution_id, command, runtime.clock, runtime.dice)
    return execution_id


async def taken_over(ingest: Ingest, execution_id: str) -> dict[str, bytes]:
    fact = await ingest.first(execution_id)
    if fact.inherited_ref is None:
        return {}
    stored = await Payloads(ingest.connection, ingest.names).get(fact.inherited_ref)
    return {key: bytes(op.result) for key, op in decode_inherited(stored).items()}


async def test_a_restart_takes_over_what_was_finished_before(ingest: Ingest) -> None:
    """It is a new execution with the same arguments, linked to the old one and to the step."""
    old = await failed(ingest)
    answer = await ingest.post(f"/v1/executions/{old}/rerun", {"from_step": "store"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    fact = await ingest.first(answer.json()["id"])
    assert (fact.rerun_of, fact.restarted_from, bytes(fact.args)) == (old, "store", b"[1,2]")
    assert await taken_over(ingest, answer.json()["id"]) == {"fetch": b'"page"', "charge": b"1"}


async def test_a_restart_from_the_first_step_takes_over_nothing(ingest: Ingest) -> None:
    """It is a rerun that says where it begins."""
    answer = await ingest.post(f"/v1/executions/{await failed(ingest)}/rerun", {"from_step": "fetch"})
    fact = await ingest.first(answer.json()["id"])
    assert (fact.inherited_ref, fact.restarted_from) == (None, "fetch")


async def test_a_restart_of_a_restart_knows_what_both_did(ingest: Ingest) -> None:
    """Steps that the first took over are steps of the second, too."""
    first = await ingest.post(f"/v1/executions/{await failed(ingest)}/rerun", {"from_step": "charge"})
    again = await failed(ingest, str(first.json()["id"]))
    second = await ingest.post(f"/v1/executions/{again}/rerun", {"from_step": "store"})
    assert list(await taken_over(ingest, second.json()["id"])) == ["fetch", "charge"]


async def test_an_unknown_step_is_refused_with_the_known_ones(ingest: Ingest) -> None:
    """422 that names them and points to the field."""
    answer = await ingest.post(f"/v1/executions/{await failed(ingest)}/rerun", {"from_step": "stor"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["errors"][0]["pointer"]) == (
        422, "invalid_option", "/from_step",
    )  # fmt: skip
    assert problem["known"] == ["fetch", "charge", "store"]
    assert "fetch, charge, store" in problem["detail"]


async def test_a_restart_with_a_key_happens_once(ingest: Ingest) -> None:
    """The same key from another step is a conflict."""
    path = f"/v1/executions/{await failed(ingest)}/rerun"
    answers = [await ingest.post(path, {"from_step": "store"}, idempotency_key="k") for _ in range(2)]
    assert len({answer.json()["id"] for answer in answers}) == 1
    for body in ({"from_step": "charge"}, {}):
        other = await ingest.post(path, body, idempotency_key="k")
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
