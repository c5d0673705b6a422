"""What Defer's clients read of one execution, as their requests stand on the wire."""

import base64
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio

from penstock.domain.execution import facts as f
from penstock.jetstream.objects import Payloads
from penstock.jetstream.server import EmbeddedServer
from sample_facts import new_id
from services_query_api import KEY, Api
from services_query_defer import (
    AT,
    AT_LAST,
    CREATED,
    FAILED,
    HISTORIES,
    RETRYING,
    SECOND,
    STARTED,
    V1,
    V2,
    ended,
    shared_api,
    succeeded,
)  # fmt: skip

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(nats_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """One service for all tests here: none looks at the executions of another."""
    async with shared_api(nats_server, tmp_path_factory.mktemp("view"), "") as api:
        yield api


async def made(api: Api, facts: Sequence[f.AnyFact] = CREATED) -> str:
    """An execution with these facts; nothing waits for the view."""
    execution_id = new_id()
    await api.append(execution_id, facts)
    return execution_id


async def read(api: Api, path: str, status: int = 200) -> httpx2.Response:
    """What a client of Defer gets."""
    headers = {"authorization": "Basic " + base64.b64encode(f":{KEY}".encode()).decode(), "accept": "*/*"}
    answer = await api.client.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


async def attempts(api: Api, execution_id: str, **request: Any) -> dict[str, Any]:
    answer = await api.client.post(f"{V2}/{execution_id}/attempts", json=request)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_an_execution_is_there_as_soon_as_it_is_stored(api: Api) -> None:
    """All of it, in an envelope, with times in milliseconds."""
    execution_id = await made(api)
    assert (await read(api, f"{V2}/{execution_id}")).json() == {
        "data": {
            "id": execution_id,
            "state": "created",
            "function_name": "work",
            "function_id": "work",
            "scheduled_at": "2023-11-14T22:13:20.123Z",
            "created_at": "2023-11-14T22:13:20.123Z",
            "updated_at": "2023-11-14T22:13:20.123Z",
        }
    }


@pytest.mark.parametrize("state", HISTORIES)
async def test_states_have_defers_names(api: Api, state: str) -> None:
    """In both versions of the API."""
    execution_id = await made(api, HISTORIES[state])
    assert (await read(api, f"{V2}/{execution_id}")).json()["data"]["state"] == state
    assert (await read(api, f"{V1}/{execution_id}")).json()["state"] == state


async def test_an_execution_stays_open_over_its_retries(api: Api) -> None:
    """It is started until the last attempt has ended, and when it was to start does not change."""
    execution_id = await made(api, RETRYING)
    data = (await read(api, f"{V2}/{execution_id}")).json()["data"]
    assert (data["state"], data["scheduled_at"]) == ("started", "2023-11-14T22:13:20.123Z")
    await read(api, f"{V2}/{execution_id}/results", 202)


@pytest.mark.parametrize("result", [b'"text"', b"null", b"0", b"false", b'""', b'{"a": [1]}'])
async def test_a_result_is_the_bare_json(api: Api, result: bytes) -> None:
    """As it was stored, whatever kind of value it is."""
    execution_id = await made(api, succeeded(result))
    answer = await read(api, f"{V2}/{execution_id}/results")
    assert (answer.content, answer.headers["content-type"]) == (result, "application/json")


@pytest.mark.parametrize(
    ("state", "status"),
    [("created", 202), ("started", 202), ("aborting", 204), ("cancelled", 204), ("aborted", 204), ("discarded", 204)],
)
async def test_where_there_is_no_result_the_status_tells_why(api: Api, state: str, status: int) -> None:
    """202 as long as there may be one, 204 when there will never be any; without a body."""
    execution_id = await made(api, HISTORIES[state])
    assert (await read(api, f"{V2}/{execution_id}/results", status)).content == b""


async def test_a_failed_execution_has_its_error_as_result(api: Api) -> None:
    """With exactly the members of an error in JavaScript."""
    execution_id = await made(api, FAILED)
    assert (await read(api, f"{V2}/{execution_id}/results")).json() == {
        "name": "ValueError",
        "message": "boom",
        "cause": None,
        "stack": "Traceback: boom",
    }


async def test_a_large_result_is_answered_whole(api: Api) -> None:
    """Also inside the object of version 1."""
    execution_id, value = new_id(), msgspec.json.encode("x" * 700_000)
    payloads = Payloads(api.runtime.connections["query"], api.runtime.names)
    await payloads.put(f"{execution_id}.result", value)
    await api.append(execution_id, ended(STARTED, f.Succeeded, attempt=1, result_ref=f"{execution_id}.result"))
    assert (await read(api, f"{V2}/{execution_id}/results")).content == value
    old = (await read(api, f"{V1}/{execution_id}")).json()
    assert old == {"id": execution_id, "state": "succeed", "result": "x" * 700_000}


@pytest.mark.parametrize("path", ["", "/results", "/arguments", "/logs"])
@pytest.mark.parametrize("execution_id", ["ab" * 16, "ab" * 16 + "-1", "nonsense", "0" * 32])
async def test_an_unknown_id_is_not_found(api: Api, execution_id: str, path: str) -> None:
    """In Defer's words, whether or not it could be an id."""
    answer = await read(api, f"{V2}/{execution_id}{path}", 404)
    assert answer.json() == {"error": "not_found", "message": f'cannot find execution "{execution_id}"'}


async def test_attempts_of_an_unknown_id_are_not_found(api: Api) -> None:
    """No empty list, in neither version, and no attempt that has not come yet."""
    for execution_id in ("ab" * 16, await made(api) + "-2"):
        answer = await api.client.post(f"{V2}/{execution_id}/attempts", json={})
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
        await read(api, f"{V1}/{execution_id}/tries", 404)


async def test_arguments_are_one_array(api: Api) -> None:
    """As they were sent."""
    execution_id = await made(api)
    answer = await read(api, f"{V2}/{execution_id}/arguments")
    assert (answer.content, answer.headers["content-type"]) == (b"[1,[2]]", "application/json")


async def test_large_arguments_are_read_from_where_they_are(api: Api) -> None:
    """Named ones are the last element."""
    execution_id = new_id()
    payloads = Payloads(api.runtime.connections["query"], api.runtime.names)
    await payloads.put("large-arguments", b'{"args":["' + b"x" * 200_000 + b'"],"kwargs":{"b":2}}')
    first = f.Enqueued(n=1, at=AT, function="work", trace_id="t", arguments_ref="large-arguments")
    await api.append(execution_id, [first])
    assert (await read(api, f"{V2}/{execution_id}/arguments")).json() == ["x" * 200_000, {"b": 2}]


async def test_logs_are_plain_text_and_those_of_an_attempt_its_own(api: Api) -> None:
    """A line is its time of day and its text; as long as there is none, there are no logs."""
    execution_id = await made(api, AT_LAST)
    answer = await read(api, f"{V2}/{execution_id}/logs", 404)
    assert answer.json()["message"] == f'logs of execution "{execution_id}" are not available yet'
    for attempt, text in ((1, "first"), (2, "second")):
        lines = {"lines": [{"at": AT + attempt * SECOND, "text": text}]}
        subject = api.runtime.names.log_subject(execution_id, attempt)
        await api.runtime.connections["query"].js.publish(subject, msgspec.json.encode(lines))
    answer = await read(api, f"{V2}/{execution_id}/logs")
    assert answer.text == "22:13:21.123 first\n22:13:22.123 second\n"
    assert answer.headers["content-type"].startswith("text/plain")
    assert (await read(api, f"{V2}/{execution_id}-2/logs")).text == "22:13:22.123 second\n"
    await read(api, f"{V2}/{execution_id}-3/logs", 404)


async def test_attempts_are_executions_with_ids_of_their_own(api: Api) -> None:
    """Newest first; a retry that waits is listed as created, with its time."""
    execution_id = await made(api, RETRYING)
    listed = await attempts(api, execution_id)
    assert [(each["id"], each["state"], each["scheduled_at"]) for each in listed["data"]] == [
        (f"{execution_id}-2", "created", "2023-11-14T22:14:20.123Z"),
        (f"{execution_id}-1", "failed", "2023-11-14T22:13:20.123Z"),
    ]
    assert listed["page_info"]["has_next_page"] is False


async def test_an_execution_that_never_started_has_one_attempt(api: Api) -> None:
    """In its own state."""
    for state in ("created", "cancelled", "discarded"):
        execution_id = await made(api, HISTORIES[state])
        data = (await attempts(api, execution_id))["data"]
        assert [(each["id"], each["state"]) for each in data] == [(f"{execution_id}-1", state)]


async def test_the_id_of_an_attempt_is_read_like_one_of_an_execution(api: Api) -> None:
    """Its state, its own result or error, the arguments of the execution, and only itself as attempt."""
    execution_id = await made(api, AT_LAST)
    data = (await read(api, f"{V2}/{execution_id}-1")).json()["data"]
    assert (data["id"], data["state"]) == (f"{execution_id}-1", "failed")
    assert (await read(api, f"{V2}/{execution_id}-1/results")).json()["message"] == "boom"
    assert (await read(api, f"{V2}/{execution_id}-2/results")).json() == "at last"
    assert (await read(api, f"{V2}/{execution_id}-1/arguments")).json() == [1, [2]]
    assert [each["id"] for each in (await attempts(api, f"{execution_id}-1"))["data"]] == [f"{execution_id}-1"]
    assert (await read(api, f"{V2}/{execution_id}/results")).json() == "at last"


async def test_attempts_are_filtered_and_paged_like_a_list(api: Api) -> None:
    """By their own states and codes, both ways."""
    execution_id = await made(api, AT_LAST)
    failed = await attempts(api, execution_id, filters={"states": ["failed"], "error_codes": ["ER0003"]})
    assert [each["id"] for each in failed["data"]] == [f"{execution_id}-1"]
    first = await attempts(api, execution_id, page={"first": 1})
    assert [each["id"] for each in first["data"]] == [f"{execution_id}-2"]
    assert (first["page_info"]["has_next_page"], first["page_info"]["has_prev_page"]) == (True, False)
    after = {"first": 1, "after": first["page_info"]["end_cursor"]}
    answer = await api.client.request("GET", f"{V2}/{execution_id}/attempts", json={"page": after})
    assert [each["id"] for each in answer.json()["data"]] == [f"{execution_id}-1"]
    assert answer.json()["page_info"]["has_next_page"] is False


async def test_version_1_has_no_envelope(api: Api) -> None:
    """An execution has its result once there is one, that of a failed one is its error; tries are a bare array."""
    created, failed, retried = await made(api), await made(api, FAILED), await made(api, AT_LAST)
    assert (await read(api, f"{V1}/{created}")).json() == {"id": created, "state": "created"}
    body = (await read(api, f"{V1}/{failed}")).json()
    assert (body["state"], body["result"]["message"], body["result"]["stack"]) == ("failed", "boom", "Traceback: boom")
    assert (await read(api, f"{V1}/{retried}")).json() == {"id": retried, "state": "succeed", "result": "at last"}
    assert (await read(api, f"{V1}/{retried}/tries")).json() == [
        {"id": f"{retried}-1", "state": "failed"},
        {"id": f"{retried}-2", "state": "succeed"},
    ]


async def test_a_wrong_token_is_told_so_in_json(api: Api) -> None:
    """Every answer has to be decodable."""
    for path in (f"{V2}/{'ab' * 16}", f"{V1}/{'ab' * 16}", "/public/v2/nothing"):
        answer = await api.client.get(path, headers={"authorization": "Basic Og=="})
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")


async def test_an_unknown_address_is_told_so_in_json(api: Api) -> None:
    """Of this service alone, too."""
    answer = await read(api, "/public/v2/nothing", 404)
    assert answer.json()["error"] == "not_found"
