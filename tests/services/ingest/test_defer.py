"""The calls of Defer's clients that write, as their requests stand on the wire."""

import base64
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio
from msgspec import Raw

from penstock.domain.execution.commands import ConfirmCancel, Fail, Start, Succeed
from penstock.domain.execution.facts import ErrorInfo, Rescheduled
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.function.options import FunctionSpec
from penstock.domain.limits import arguments_bytes_max
from penstock.handle import handle, load
from penstock.jetstream.server import EmbeddedServer
from running_ingest import KEY, Ingest, declare, running_ingest

pytestmark = pytest.mark.asyncio(loop_scope="module")

README = Path(__file__).resolve().parents[3] / "README.md"
V1, V2 = "/public/v1", "/public/v2"
EXECUTIONS = f"{V2}/executions"
NOBODY = "ab" * 16


def basic(key: str, user: str = "") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ingest(nats_server: EmbeddedServer) -> AsyncIterator[Ingest]:
    """One service for all tests here: none looks at the executions of another."""
    async with running_ingest(nats_server.url) as service:
        service.http.headers.update(basic(KEY))
        yield service


async def send(ingest: Ingest, method: str, path: str, body: Any = None) -> httpx2.Response:
    """What a client of Defer sends."""
    content = body if isinstance(body, bytes) else msgspec.json.encode({} if body is None else body)
    headers = {"content-type": "application/json", "accept": "*/*", "pragma": "no-cache"}
    return await ingest.http.request(method, path, content=content, headers=headers)


def iso(**ahead: float) -> str:
    """A time as JavaScript writes it."""
    return (datetime.now(UTC) + timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


async def enqueue(ingest: Ingest, **fields: Any) -> dict[str, Any]:
    body = {"function_name": "anything", "function_arguments": [1, 2], "schedule_for": iso(), **fields}
    answer = await send(ingest, "PUT", EXECUTIONS, body)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def command(ingest: Ingest, execution_id: str, *commands: Any) -> None:
    """What a runner would append."""
    runtime = ingest.runtime
    for each in commands:
        await handle(runtime.log, execution_id, each, runtime.clock, runtime.dice)


START = Start(activation=1, runner="r1")
BOOM = Fail(activation=1, error=ErrorInfo(code="user_error"), policy=RetryPolicy(retries=1, shape="fixed", initial=60))


async def in_state(ingest: Ingest, state: str) -> str:
    """An execution in this state of Defer's."""
    execution_id: str = (await enqueue(ingest))["id"]
    steps: dict[str, tuple[Any, ...]] = {
        "created": (),
        "started": (START,),
        "retrying": (START, BOOM),
        "succeed": (START, Succeed(activation=1, result=Raw(b"3"))),
        "failed": (START, msgspec.structs.replace(BOOM, terminal=True)),
    }
    if state in steps:
        await command(ingest, execution_id, *steps[state])
        return execution_id
    if state != "cancelled":
        await command(ingest, execution_id, START)
    await cancel(ingest, execution_id, force=True)
    if state == "aborted":
        await command(ingest, execution_id, ConfirmCancel(activation=1))
    return execution_id


async def cancel(ingest: Ingest, execution_id: str, *, force: Any = False) -> httpx2.Response:
    return await send(ingest, "POST", f"{EXECUTIONS}/{execution_id}/cancellation", {"force": force})


async def reschedule(ingest: Ingest, execution_id: str, **body: Any) -> httpx2.Response:
    return await send(ingest, "PATCH", f"{EXECUTIONS}/{execution_id}/schedule", body)


# The manners of the door.


async def test_an_enqueued_execution_is_answered_as_a_whole(ingest: Ingest) -> None:
    """201 and exactly the fields that clients know; the id of a function is its name."""
    data = await enqueue(ingest)
    fields = ["id", "state", "function_name", "function_id", "scheduled_at", "created_at", "updated_at"]
    assert list(data) == fields
    assert (data["state"], data["function_name"], data["function_id"]) == ("created", "anything", "anything")
    assert data["scheduled_at"] == data["created_at"] == data["updated_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", data["created_at"])


@pytest.mark.parametrize(
    "headers",
    [basic(KEY), basic(KEY, "somebody"), {"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}],
)
async def test_the_key_opens_as_a_password_of_anybody_and_as_a_bearer_token(
    ingest: Ingest, headers: dict[str, str]
) -> None:
    """Clients send an empty user name; the old API documentation said Bearer."""
    answer = await ingest.http.put(EXECUTIONS, json={"function_name": "anything"}, headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic Og==", "Basic !!!", "Basic " + base64.b64encode(KEY.encode()).decode()],
)
async def test_without_the_key_nothing_is_done(ingest: Ingest, authorization: str) -> None:
    """401 in Defer's form, also for an empty token, for what is no Basic credentials, and for a key as the user."""
    for path in (EXECUTIONS, "/public/nowhere"):
        answer = await ingest.http.put(path, json={}, headers={"authorization": authorization})
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
        assert answer.json()["message"].startswith("The API key is missing or wrong.")
        assert "www-authenticate" in answer.headers


async def test_basic_is_for_these_doors_only(ingest: Ingest) -> None:
    """Ours want a bearer key, and say so in a problem document."""
    answer = await ingest.http.post("/v1/functions/add/executions", json={}, headers=basic(KEY))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/public/v2/nothing", 404, "not_found"),
        ("POST", "/public/", 404, "not_found"),
        ("DELETE", EXECUTIONS, 405, "method_not_allowed"),
        ("POST", f"{EXECUTIONS}/{NOBODY}/schedule", 405, "method_not_allowed"),
    ],
)
async def test_every_error_is_json_with_a_message(
    ingest: Ingest, method: str, path: str, status: int, error: str
) -> None:
    """Clients decode every answer; what is not there has an answer too."""
    answer = await send(ingest, method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert set(answer.json()) == {"error", "message"}
    assert (answer.json()["error"], bool(answer.json()["message"])) == (error, True)


async def test_too_large_arguments_are_refused_in_the_same_words(ingest: Ingest) -> None:
    """201 at the limit, which counts the empty named arguments too, and 413 one byte above it."""
    answers = []
    for size in (arguments_bytes_max - 2, arguments_bytes_max - 1):
        body = b'{"function_name":"anything","function_arguments":["' + b"a" * (size - 4) + b'"]}'
        answers.append(await send(ingest, "PUT", EXECUTIONS, body))
    assert [each.status_code for each in answers] == [201, 413]
    assert answers[1].json()["error"] == "payload_too_large"
    assert (await ingest.first(answers[0].json()["data"]["id"])).arguments_ref is not None


async def test_the_call_in_the_readme_is_taken(ingest: Ingest) -> None:
    """As it stands there, by a program that says nothing about the type of its body."""
    section = README.read_text(encoding="utf-8").partition("## Programs written for Defer")[2]
    body = re.search(r"-d '(.*)'", section)
    assert body is not None
    await declare(ingest.runtime, FunctionSpec(name="greet"))
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await ingest.http.put(EXECUTIONS, content=body[1], headers=headers)
    assert (answer.status_code, answer.json()["data"]["function_name"]) == (201, "greet")


# Enqueue.


async def test_arguments_are_taken_by_position_as_they_are(ingest: Ingest) -> None:
    """Any JSON, in the bytes that were sent."""
    arguments = [None, 0, "", False, {"a": [1.5, "ü"]}]
    first = await ingest.first((await enqueue(ingest, function_arguments=arguments))["id"])
    assert (bytes(first.args), bytes(first.kwargs)) == (msgspec.json.encode(arguments), b"{}")


async def test_an_unknown_function_is_a_bad_request(ingest: Ingest) -> None:
    """Not 404, which would mean an execution."""
    answer = await send(ingest, "PUT", EXECUTIONS, {"function_name": "createUser", "function_arguments": []})
    assert answer.status_code == 400
    assert answer.json() == {"error": "bad_request", "message": 'cannot find function "createUser"'}


async def test_a_time_that_has_come_starts_at_once(ingest: Ingest) -> None:
    """The clients always send their own now, which is past when it arrives; no timer is set for it."""
    for given in (iso(seconds=-2), "2020-01-01T00:00:00+02:00", None):
        first = await ingest.first((await enqueue(ingest, schedule_for=given))["id"])
        assert first.run_at is None


async def test_a_later_time_is_kept(ingest: Ingest) -> None:
    """It is `created` until then, and `scheduled_at` says when."""
    later = iso(hours=1)
    data = await enqueue(ingest, schedule_for=later)
    assert (data["state"], data["scheduled_at"]) == ("created", later)
    assert await ingest.state(data["id"]) == "scheduled"


async def test_a_discard_time_is_an_instant(ingest: Ingest) -> None:
    """It does not count from the delayed start, and may lie before it."""
    sooner, later = iso(minutes=5), iso(hours=1)
    data = await enqueue(ingest, schedule_for=later, discard_after=sooner)
    first = await ingest.first(data["id"])
    wanted = datetime.strptime(sooner, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert first.discard_at == round(wanted.timestamp() * 1000) * 1000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "cannot decode request body"),
        (b"\xff", "cannot decode request body"),
        ({}, "function_name"),
        ({"function_name": 1}, "$.function_name"),
        ({"function_name": "anything", "function_arguments": {}}, "function_arguments must be an array"),
        ({"function_name": "anything", "schedule_for": "tomorrow"}, "schedule_for must be a time"),
        ({"function_name": "anything", "schedule_for": "2027-01-31T08:00:00"}, "schedule_for must be a time"),
        ({"function_name": "anything", "discard_after": 5}, "$.discard_after"),
        ({"function_name": "anything", "schedule_for": "2099-01-01T00:00:00Z"}, "seconds ahead"),
        ({"function_name": "anything", "metadata": {"a": 1}}, "metadata"),
        ({"function_name": "anything", "metadata": {"a": ""}}, "1 to 256 characters"),
        ({"function_name": "anything", "metadata": {"ü": "a"}}, "ASCII"),
        ({"function_name": "add", "function_arguments": ["one", 2]}, "/args/0"),
    ],
)
async def test_what_does_not_fit_is_a_bad_request(ingest: Ingest, body: Any, message: str) -> None:
    """400 with a sentence that names the field."""
    answer = await send(ingest, "PUT", EXECUTIONS, body)
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    assert message in answer.json()["message"]


async def test_metadata_is_stored(ingest: Ingest) -> None:
    """As much as Defer allowed: keys longer than ours too."""
    metadata = {f"{number:0256d}": "v" * 256 for number in range(25)}
    assert (await ingest.first((await enqueue(ingest, metadata=metadata))["id"])).metadata == metadata


# Cancel.


@pytest.mark.parametrize(
    ("state", "force", "status", "after"),
    [
        ("created", False, 200, "cancelled"),
        ("created", True, 200, "cancelled"),
        ("started", False, 409, "started"),
        ("started", True, 200, "aborting"),
        ("retrying", False, 409, "started"),
        ("retrying", True, 200, "aborted"),
        ("aborting", False, 409, "aborting"),
        ("aborting", True, 202, "aborting"),
        *(
            (final, force, 409, final)
            for final in ("succeed", "failed", "cancelled", "aborted")
            for force in (True, False)
        ),
    ],
)
async def test_whether_it_is_cancelled_depends_on_its_state(
    ingest: Ingest, state: str, force: bool, status: int, after: str
) -> None:
    """202 only for what is being stopped already, since clients take it for a complaint."""
    execution_id = await in_state(ingest, state)
    answer = await cancel(ingest, execution_id, force=force)
    assert answer.status_code == status, answer.text
    if status == 409:
        assert answer.json() == {"error": "conflict", "message": f"cannot cancel execution in {after} state"}
    else:
        assert (answer.json()["data"]["id"], answer.json()["data"]["state"]) == (execution_id, after)


@pytest.mark.parametrize("force", [{"force": True}, 1, "true", None])
async def test_force_is_true_or_false(ingest: Ingest, force: Any) -> None:
    """The old documentation had it in an object: that is refused, and nothing happens."""
    execution_id = await in_state(ingest, "started")
    answer = await cancel(ingest, execution_id, force=force)
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    assert "force must be true or false" in answer.json()["message"]
    assert await ingest.state(execution_id) == "running"


async def test_a_result_that_comes_after_a_forced_cancel_is_not_kept(ingest: Ingest) -> None:
    """Nothing but `aborted` follows `aborting`."""
    execution_id = await in_state(ingest, "aborting")
    await command(ingest, execution_id, Succeed(activation=1, result=Raw(b"3")))
    answer = await cancel(ingest, execution_id, force=True)
    assert answer.json()["message"] == "cannot cancel execution in aborted state"


# Reschedule.


async def test_a_reschedule_moves_the_start(ingest: Ingest) -> None:
    """The answer has the new time; the discard time stays where it is, also before the new start."""
    discard, later = iso(minutes=1), iso(minutes=5)
    created = await enqueue(ingest, schedule_for=iso(seconds=30), discard_after=discard)
    answer = await reschedule(ingest, created["id"], schedule_for=later)
    assert (answer.status_code, answer.json()["data"]["scheduled_at"]) == (200, later)
    assert answer.json()["data"]["updated_at"] > created["updated_at"]
    state = await load(ingest.runtime.log, created["id"], "anything")
    first = await ingest.first(created["id"])
    assert state is not None
    assert (state.discard_at, isinstance((await ingest.facts(created["id"]))[-1], Rescheduled)) == (
        first.discard_at,
        True,
    )


async def test_without_a_time_it_is_moved_to_now(ingest: Ingest) -> None:
    """Clients send now; no time means the same."""
    for body in ({}, {"schedule_for": iso(seconds=-1)}):
        created = await enqueue(ingest, schedule_for=iso(hours=1))
        answer = await reschedule(ingest, created["id"], **body)
        assert answer.json()["data"]["state"] == "created"
        assert answer.json()["data"]["scheduled_at"] < iso(seconds=1)
        assert await ingest.state(created["id"]) == "queued"


@pytest.mark.parametrize("state", ["started", "retrying", "aborting", "succeed", "failed", "cancelled", "aborted"])
async def test_what_has_started_is_not_moved(ingest: Ingest, state: str) -> None:
    """409 in a full sentence."""
    answer = await reschedule(ingest, await in_state(ingest, state), schedule_for=iso(hours=1))
    word = "started" if state == "retrying" else state
    assert answer.status_code == 409
    assert answer.json() == {"error": "conflict", "message": f"cannot reschedule execution in {word} state"}


@pytest.mark.parametrize("body", [{"schedule_for": True}, {"schedule_for": "soon"}, {"at": "now"}])
async def test_a_reschedule_to_no_time_is_refused(ingest: Ingest, body: dict[str, Any]) -> None:
    """400, and it stays where it is."""
    created = await enqueue(ingest, schedule_for=iso(hours=1))
    answer = await reschedule(ingest, created["id"], **body)
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    assert len(await ingest.facts(created["id"])) == 1


# Rerun.


@pytest.mark.parametrize("state", ["created", "started", "succeed", "aborted"])
async def test_a_rerun_is_a_new_execution_from_any_state(ingest: Ingest, state: str) -> None:
    """200, `created`, and the same content."""
    execution_id = await in_state(ingest, state)
    answer = await send(ingest, "POST", f"{EXECUTIONS}/{execution_id}/reruns")
    data = answer.json()["data"]
    assert (answer.status_code, data["state"], data["id"] != execution_id) == (200, "created", True)
    assert (await ingest.first(data["id"])).args == (await ingest.first(execution_id)).args


async def test_a_rerun_has_metadata_and_no_discard_time(ingest: Ingest) -> None:
    """It is scheduled for now, whatever the first one was."""
    created = await enqueue(ingest, metadata={"user": "u1"}, schedule_for=iso(hours=1), discard_after=iso(hours=2))
    answer = await send(ingest, "POST", f"{EXECUTIONS}/{created['id']}/reruns")
    first = await ingest.first(answer.json()["data"]["id"])
    assert (first.metadata, first.discard_at, first.run_at) == ({"user": "u1"}, None, None)


# Ids.


@pytest.mark.parametrize("execution_id", [NOBODY, "no-id", f"{NOBODY}-1", "0" * 32])
@pytest.mark.parametrize(("method", "path"), [("POST", "cancellation"), ("PATCH", "schedule"), ("POST", "reruns")])
async def test_whatever_is_not_stored_is_not_found(ingest: Ingest, method: str, path: str, execution_id: str) -> None:
    """404, well-formed or not: user code catches that."""
    answer = await send(ingest, method, f"{EXECUTIONS}/{execution_id}/{path}")
    assert answer.status_code == 404
    assert answer.json() == {"error": "not_found", "message": f'cannot find execution "{execution_id}"'}


async def test_the_id_of_the_last_attempt_means_its_execution(ingest: Ingest) -> None:
    """A retry that waits is `created` and can be cancelled; then the execution has been stopped midway."""
    execution_id = await in_state(ingest, "retrying")
    answer = await cancel(ingest, f"{execution_id}-2")
    assert answer.status_code == 200
    assert (answer.json()["data"]["id"], answer.json()["data"]["state"]) == (f"{execution_id}-2", "cancelled")
    answer = await cancel(ingest, execution_id)
    assert answer.json()["message"] == "cannot cancel execution in aborted state"


async def test_an_attempt_that_is_over_cannot_be_changed(ingest: Ingest) -> None:
    """409 with its own state, while the execution goes on."""
    execution_id = await in_state(ingest, "retrying")
    for answer in (
        await cancel(ingest, f"{execution_id}-1", force=True),
        await reschedule(ingest, f"{execution_id}-1"),
    ):
        assert (answer.status_code, answer.json()["message"].endswith("execution in failed state")) == (409, True)
    assert await ingest.state(execution_id) == "retrying"


async def test_an_attempt_that_has_not_started_is_moved_with_its_execution(ingest: Ingest) -> None:
    """The only attempt of what is still `created`."""
    created, later = await enqueue(ingest), iso(hours=1)
    answer = await reschedule(ingest, f"{created['id']}-1", schedule_for=later)
    assert (answer.status_code, answer.json()["data"]["id"]) == (200, f"{created['id']}-1")
    assert answer.json()["data"]["scheduled_at"] == later


async def test_any_attempt_can_be_run_again(ingest: Ingest) -> None:
    """It has the arguments of its execution."""
    execution_id = await in_state(ingest, "retrying")
    answer = await send(ingest, "POST", f"{EXECUTIONS}/{execution_id}-1/reruns")
    assert answer.status_code == 200
    rerun = await ingest.first(answer.json()["data"]["id"])
    assert rerun.rerun_of == execution_id


# Version 1.


async def test_version_1_enqueues(ingest: Ingest) -> None:
    """The answer is the id alone, without an envelope; the time has two names."""
    later = iso(hours=1)
    for field in ("schedule_for", "scheduled_for"):
        body = {"name": "anything", "arguments": [1], field: later, "metadata": {}}
        answer = await send(ingest, "POST", f"{V1}/enqueue", body)
        assert (answer.status_code, list(answer.json())) == (200, ["id"])
        assert await ingest.state(answer.json()["id"]) == "scheduled"


async def test_version_1_cancels_and_moves(ingest: Ingest) -> None:
    """With JSON bodies, which its client needs."""
    created = await enqueue(ingest, schedule_for=iso(hours=1))
    path = f"{V1}/executions/{created['id']}"
    moved = await send(ingest, "POST", f"{path}/reschedule", {"schedule_for": iso(hours=2)})
    cancelled = await send(ingest, "POST", f"{path}/cancel", {"force": False})
    assert [each.status_code for each in (moved, cancelled)] == [200, 200]
    assert moved.json() == cancelled.json() == {"id": created["id"]}
    assert await ingest.state(created["id"]) == "cancelled"


async def test_version_1_has_the_same_errors(ingest: Ingest) -> None:
    """Its client shows both `error` and `message`."""
    unknown = await send(ingest, "POST", f"{V1}/enqueue", {"name": "createUser", "arguments": [], "metadata": {}})
    assert unknown.json() == {"error": "bad_request", "message": 'cannot find function "createUser"'}
    cancelled = await in_state(ingest, "cancelled")
    answer = await send(ingest, "POST", f"{V1}/executions/{cancelled}/cancel", {"force": False})
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
