"""Schedules over HTTP: what is taken, what is refused, and with which code."""

import pytest

from eventually import eventually
from penstock.domain.flow.limits import FlowOptions
from penstock.domain.function.options import FunctionSpec
from penstock.jetstream.timers import JetStreamTimers
from penstock.wire.names import TICK_WAIT
from running_schedules import Stage

BAD = [
    ({"cron": "61 * * * *"}, 422, "invalid_option", "/cron"),
    ({"cron": "0 0 30 2 *"}, 422, "invalid_option", "/cron"),
    ({"cron": "* * * * *", "timezone": "Mars/Base"}, 422, "invalid_option", "/timezone"),
    ({"cron": "* * * * *", "every": "1m"}, 422, "invalid_option", "/cron"),
    ({}, 422, "invalid_option", "/cron"),
    ({"every": "1m", "timezone": "UTC"}, 422, "invalid_option", "/timezone"),
    ({"every": "soon"}, 422, "invalid_duration", None),
    ({"every": "0s"}, 422, "invalid_option", "/every"),
    ({"every": "-1s"}, 422, "invalid_duration", None),
    ({"every": "1m", "jitter": "1h"}, 422, "invalid_option", "/jitter"),
    ({"every": "1m", "overlap": "queue"}, 422, "invalid_option", "/overlap"),
    ({"every": "1m", "catch_up": 3}, 422, "invalid_option", "/catch_up"),
    ({"every": "1m", "colour": "red"}, 422, "invalid_option", "/colour"),
    ({"every": "1m", "args": [1], "function": "add"}, 422, "invalid_arguments", "/kwargs/b"),
    ({"every": "1m", "args": {}}, 422, "invalid_arguments", "/args"),
    ({"every": "1m", "args": ["x" * 20_000]}, 413, "payload_too_large", None),
    ({"every": "1m", "metadata": {"k": "v" * 600}}, 422, "invalid_option", None),
    ({"every": "1m", "function": "ad"}, 404, "unknown_function", None),
    ({"every": "1m", "function": 5}, 422, "invalid_option", "/function"),
]


@pytest.mark.parametrize(("body", "status", "code", "pointer"), BAD)
async def test_a_bad_schedule_is_refused(
    stage: Stage, body: dict[str, object], status: int, code: str, pointer: str | None
) -> None:
    """With its code, and the member at fault."""
    response = await stage.ingest.http.put("/v1/schedules/s", json={"function": "anything", **body})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert pointer is None or pointer in [error["pointer"] for error in problem["errors"]], problem
    assert await stage.schedules.read("s") is None


async def test_a_bad_expression_tells_its_column(stage: Stage) -> None:
    """As a member of the problem."""
    response = await stage.ingest.http.put("/v1/schedules/s", json={"function": "anything", "cron": "0 25 * * *"})
    assert response.json()["column"] == 3


async def test_arguments_on_which_a_key_fails_are_refused(stage: Stage) -> None:
    """Every tick would fail on them in the same way."""
    spec = FunctionSpec(name="keyed", concurrency=1, flow=FlowOptions(concurrency_key="args[0]"))
    await stage.ingest.runtime.registry.declare(spec, "r1")
    body = {"function": "keyed", "every": "1h"}
    response = await stage.ingest.http.put("/v1/schedules/s", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_arguments")
    assert "args[0]" in response.json()["detail"]
    assert (await stage.ingest.http.put("/v1/schedules/s", json={**body, "args": ["a"]})).status_code == 200


async def test_a_schedule_is_made_changed_and_left_alone(stage: Stage) -> None:
    """The same again writes nothing."""
    first = await stage.put("a.b", cron="0 8 * * MON", timezone="Europe/Paris")
    assert (first["state"], len(first["next_ticks"])) == ("active", 5)  # type: ignore[arg-type]
    assert (await stage.put("a.b", cron="0 8 * * MON", timezone="Europe/Paris"))["sequence"] == first["sequence"]
    changed = await stage.put("a.b", cron="0 9 * * MON", timezone="Europe/Paris")
    assert changed["sequence"] != first["sequence"]
    token = stage.ingest.names.schedule_token("a.b")
    assert await JetStreamTimers(stage.ingest.connection, stage.ingest.names).pending(token, TICK_WAIT)


@pytest.mark.parametrize("verb", ["pause", "resume", "trigger", "backfill"])
@pytest.mark.parametrize("key", ["nothing", "a b", "%3E"])
async def test_an_unknown_schedule_is_404(stage: Stage, verb: str, key: str) -> None:
    """Also under a key that can be none."""
    body = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"} if verb == "backfill" else {}
    response = await stage.ingest.post(f"/v1/schedules/{key}/{verb}", body)
    assert (response.status_code, response.json()["code"]) == (404, "unknown_schedule")


async def test_a_deleted_schedule_is_unknown_and_can_be_made_anew(stage: Stage) -> None:
    """Twice deleted is 404."""
    await stage.put("s", every="1h")
    assert (await stage.ingest.http.delete("/v1/schedules/s")).json()["state"] == "deleted"
    assert (await stage.ingest.http.delete("/v1/schedules/s")).status_code == 404
    assert (await stage.put("s", every="1h"))["state"] == "active"


async def test_a_paused_schedule_does_not_tick_until_it_is_resumed(stage: Stage) -> None:
    """What came meanwhile is skipped, with the reason."""
    async with stage.scheduler():
        await stage.put("s", every="1s")
        await eventually(lambda: stage.at_least("s", 1), within=15)
        assert (await stage.ingest.post("/v1/schedules/s/pause")).json()["state"] == "paused"
        assert (await stage.ingest.post("/v1/schedules/s/pause")).status_code == 200
        before = len(await stage.fired("s"))
        state = await stage.schedules.read("s")
        assert state is not None
        assert state.wakes_at is None
        await stage.put("other", every="1s")
        await eventually(lambda: stage.at_least("other", 3), within=15)
        assert len(await stage.fired("s")) == before
        assert (await stage.ingest.post("/v1/schedules/s/resume")).json()["state"] == "active"
        await eventually(lambda: stage.at_least("s", before + 1), within=15)
    assert "paused" in [entry.reason for entry in await stage.ticks("s")]


async def test_a_trigger_starts_one_execution_now(stage: Stage) -> None:
    """Once per idempotency key, and it is in the ledger."""
    await stage.put("s", every="1h", args=["x"])
    first = await stage.ingest.post("/v1/schedules/s/trigger", {}, idempotency_key="k")
    again = await stage.ingest.post("/v1/schedules/s/trigger", {}, idempotency_key="k")
    other = await stage.ingest.post("/v1/schedules/s/trigger", {})
    assert [each.status_code for each in (first, again, other)] == [202, 202, 202]
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    assert bytes((await stage.ingest.first(first.json()["id"])).args) == b'["x"]'
    assert [entry.reason for entry in await stage.ticks("s")] == ["triggered", "triggered"]


@pytest.mark.parametrize(
    "span",
    [
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "2026-01-01T00:00:00Z", "to": "2096-01-01T00:00:00Z"},
        {"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "2026-01-01", "to": "2026-01-02T00:00:00Z"},
        {"from": "2026-01-01T00:00:00", "to": "2026-01-02T00:00:00Z"},
        {"from": "2026-01-01T00:00:00Z"},
    ],
)
async def test_a_bad_backfill_is_refused(stage: Stage, span: dict[str, str]) -> None:
    """Backwards, in the future, too many ticks, no instants."""
    await stage.put("s", cron="* * * * *")
    response = await stage.ingest.post("/v1/schedules/s/backfill", span)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_option")
