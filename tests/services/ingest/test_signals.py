"""Messages to executions, tokens, and resuming what is paused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio
from msgspec import Raw

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.execution.tokens import make_token
from penstock.domain.limits import (
    error_message_chars_max,
    idempotency_key_chars_max,
    message_bytes_max,
    messages_unread_max,
    step_name_chars_max,
)
from penstock.handle import handle
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Append
from penstock.service.http import OPEN_REQUEST_BYTES_MAX
from running_ingest import Ingest, running_ingest

NOBODY = "ab" * 16
BOOM = f.ErrorInfo(code="user_error", message="boom")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ingest(nats_server: EmbeddedServer) -> AsyncIterator[Ingest]:
    """One service for all tests here: each has executions of its own."""
    async with running_ingest(nats_server.url) as service:
        yield service


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def started(ingest: Ingest, *commands: c.AnyCommand) -> str:
    """A running execution, after what its runner says."""
    made = await ingest.post("/v1/functions/anything/executions", {})
    execution_id = str(made.json()["id"])
    for command in (c.Start(activation=1, runner="r1"), *commands):
        runtime = ingest.runtime
        await handle(runtime.log, execution_id, command, runtime.clock, runtime.dice)
    return execution_id


def waits(*each: f.Wait) -> c.OpenWaits:
    return c.OpenWaits(activation=1, waits=list(each), blocked=[wait.key for wait in each], suspends=True)


async def without_key(ingest: Ingest, path: str, body: Any, method: str = "POST", **headers: str) -> httpx2.Response:
    """As anybody outside would send it."""
    given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx2.AsyncClient(base_url=ingest.http.base_url) as outside:
        return await outside.request(method, path, content=msgspec.json.encode(body), headers=given)


def token(ingest: Ingest, execution_id: str, key: str = "approval") -> str:
    return make_token(ingest.runtime.signing_key, execution_id, key)


async def last(ingest: Ingest, execution_id: str) -> f.AnyFact | f.Unknown:
    return (await ingest.facts(execution_id))[-1]


# Messages.


async def test_a_message_is_kept_for_the_next_receive(ingest: Ingest) -> None:
    """202 with its id and the position that shows it."""
    execution_id = await started(ingest)
    answer = await ingest.post(f"/v1/executions/{execution_id}/messages", {"body": {"page": 2}, "id": "m1"})
    assert (answer.status_code, answer.json()["id"]) == (202, "m1")
    assert answer.json()["sequence"].startswith("x:")
    fact = await last(ingest, execution_id)
    assert isinstance(fact, f.MessageReceived)
    assert (fact.channel, fact.message, bytes(fact.body)) == ("default", "m1", b'{"page":2}')


async def test_a_message_wakes_what_waits_for_it(ingest: Ingest) -> None:
    """On its channel only."""
    execution_id = await started(ingest, waits(f.Wait(key="receive", wait="message", name="pages")))
    await ingest.post(f"/v1/executions/{execution_id}/messages", {"body": 1})
    assert await ingest.state(execution_id) == "waiting"
    await ingest.post(f"/v1/executions/{execution_id}/messages", {"body": 2, "channel": "pages"})
    fact = await last(ingest, execution_id)
    assert isinstance(fact, f.Woken)
    assert (fact.wait, fact.wakes, bytes(fact.result)) == ("receive", True, b"2")


async def test_a_message_tells_the_runner_at_work(ingest: Ingest) -> None:
    """It learns of it at once."""
    execution_id = await started(ingest)
    hint: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def on_hint(message: Any) -> None:
        if message.data.decode() == execution_id and not hint.done():
            hint.set_result(message.data)

    await ingest.connection.nc.subscribe(ingest.names.hint_subject("r1"), cb=on_hint)
    await ingest.connection.nc.flush()
    await ingest.post(f"/v1/executions/{execution_id}/messages", {"body": 1})
    assert (await asyncio.wait_for(hint, 5)).decode() == execution_id


async def test_the_same_message_counts_once(ingest: Ingest) -> None:
    """Its id stands in the body or in the header; the answer is the same."""
    execution_id = await started(ingest)
    path = f"/v1/executions/{execution_id}/messages"
    first = await ingest.post(path, {"body": 1}, idempotency_key="m1")
    again = await ingest.post(path, {"body": 1, "id": "m1"})
    assert first.json() == again.json()
    assert len(await ingest.facts(execution_id)) == 3


async def test_messages_without_an_id_are_different_ones(ingest: Ingest) -> None:
    """Each gets one."""
    execution_id = await started(ingest)
    answers = [await ingest.post(f"/v1/executions/{execution_id}/messages", {"body": 1}) for _ in range(2)]
    assert len({answer.json()["id"] for answer in answers}) == 2


async def test_an_ended_execution_takes_no_message(ingest: Ingest) -> None:
    """409 with its state."""
    execution_id = await started(ingest, c.Succeed(activation=1, result=Raw(b"1")))
    answer = await ingest.post(f"/v1/executions/{execution_id}/messages", {"body": 1})
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "wrong_state", "succeeded")


async def test_too_many_unread_messages_are_refused(ingest: Ingest) -> None:
    """409 at the limit."""
    execution_id = await started(ingest)
    unread = [f.MessageReceived(n=n, at=0, message=f"m{n}", channel="c") for n in range(3, messages_unread_max + 2)]
    expected = (await ingest.runtime.log.find(execution_id))[-1].sequence
    for start in range(0, len(unread), 100):
        entry = Append(
            execution_id=execution_id, function="anything", facts=unread[start : start + 100], expected=expected
        )
        expected = await ingest.runtime.log.append(entry)
    path = f"/v1/executions/{execution_id}/messages"
    assert (await ingest.post(path, {"body": 1})).status_code == 202
    answer = await ingest.post(path, {"body": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_messages")


@pytest.mark.parametrize("execution_id", [NOBODY, "nonsense"])
@pytest.mark.parametrize("path", ["messages", "resume"])
async def test_nobody_takes_no_message(ingest: Ingest, execution_id: str, path: str) -> None:
    """404 for what does not exist."""
    answer = await ingest.post(f"/v1/executions/{execution_id}/{path}", {})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_execution")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"body": "x" * (message_bytes_max - 2)}, 202, None),
        ({"body": "x" * (message_bytes_max - 1)}, 413, "payload_too_large"),
        ({"channel": "c" * step_name_chars_max}, 202, None),
        ({"channel": "c" * (step_name_chars_max + 1)}, 422, "invalid_option"),
        ({"channel": ""}, 422, "invalid_option"),
        ({"channel": "a\nb"}, 422, "invalid_option"),
        ({"id": "i" * idempotency_key_chars_max}, 202, None),
        ({"id": "i" * (idempotency_key_chars_max + 1)}, 422, "invalid_option"),
        ({"id": ""}, 422, "invalid_option"),
        ({"text": 1}, 422, "invalid_option"),
        ({"body": 2**70}, 422, "invalid_arguments"),
        ({"channel": 7}, 422, "invalid_option"),
    ],
)  # fmt: skip
async def test_a_message_has_limits(ingest: Ingest, body: Any, status: int, code: str | None) -> None:
    """Each with its error, exactly at its edge."""
    execution_id = await started(ingest)
    answer = await ingest.post(f"/v1/executions/{execution_id}/messages", body)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


async def test_two_ids_of_one_message_are_a_contradiction(ingest: Ingest) -> None:
    """The header and the body must agree."""
    execution_id = await started(ingest)
    answer = await ingest.post(f"/v1/executions/{execution_id}/messages", {"id": "a"}, idempotency_key="b")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/id")


# Tokens.


async def test_a_token_completes_its_wait_without_an_api_key(ingest: Ingest) -> None:
    """The token is the right."""
    execution_id = await started(ingest, waits(f.Wait(key="approval", wait="token")))
    path = f"/v1/tokens/{token(ingest, execution_id)}"
    answer = await without_key(ingest, path, {"result": {"ok": True}})
    assert (answer.status_code, answer.json()["id"], answer.json()["outcome"]) == (202, execution_id, "completed")
    fact = await last(ingest, execution_id)
    assert isinstance(fact, f.Woken)
    assert (fact.outcome, bytes(fact.result), fact.wakes) == ("completed", b'{"ok":true}', True)


async def test_a_token_refuses_with_a_reason(ingest: Ingest) -> None:
    """The function is told it as an error."""
    execution_id = await started(ingest, waits(f.Wait(key="approval", wait="token")))
    path = f"/v1/tokens/{token(ingest, execution_id)}"
    answer = await without_key(ingest, path, {"error": {"message": "too expensive"}})
    assert (answer.status_code, answer.json()["outcome"]) == (202, "rejected")
    fact = await last(ingest, execution_id)
    assert isinstance(fact, f.Woken)
    assert fact.error == f.ErrorInfo(code="rejected", message="too expensive")


async def test_a_token_is_good_before_its_wait_and_once(ingest: Ingest) -> None:
    """The same answer again is fine, in whatever form it is written; another is too late."""
    execution_id = await started(ingest)
    path = f"/v1/tokens/{token(ingest, execution_id)}"
    first = await without_key(ingest, path, {"result": {"a": 1, "b": 2}})
    again = await without_key(ingest, path, {"result": {"b": 2, "a": 1}})
    assert (first.status_code, again.json()) == (202, first.json())
    other = await without_key(ingest, path, {"error": {"message": "no"}})
    assert (other.status_code, other.json()["code"], other.json()["state"]) == (409, "wrong_state", "running")
    assert len(await ingest.facts(execution_id)) == 3


async def test_an_empty_body_completes_with_null(ingest: Ingest) -> None:
    """To press a button needs no words."""
    execution_id = await started(ingest)
    async with httpx2.AsyncClient(base_url=ingest.http.base_url) as outside:
        answer = await outside.post(f"/v1/tokens/{token(ingest, execution_id)}")
    assert answer.status_code == 202
    fact = await last(ingest, execution_id)
    assert isinstance(fact, f.Woken)
    assert bytes(fact.result) == b"null"


async def test_a_token_that_was_not_made_here_is_unknown(ingest: Ingest) -> None:
    """404, whatever is wrong with it; nothing about executions is told."""
    execution_id = await started(ingest)
    forged = make_token(b"x" * 32, execution_id, "approval")
    gone = make_token(ingest.runtime.signing_key, NOBODY, "approval")
    for each in (forged, gone, "nonsense", token(ingest, execution_id)[:-1]):
        answer = await without_key(ingest, f"/v1/tokens/{each}", {"result": 1})
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_token")
    assert len(await ingest.facts(execution_id)) == 2


async def test_browsers_of_any_origin_may_use_a_token(ingest: Ingest) -> None:
    """Preflight, answers and refusals; no other address answers them."""
    execution_id = await started(ingest)
    path = f"/v1/tokens/{token(ingest, execution_id)}"
    page = {"origin": "https://shop.example"}
    asked = {**page, "access_control_request_method": "POST", "access_control_request_headers": "content-type"}
    preflight = await without_key(ingest, path, None, "OPTIONS", **asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"].lower() == "content-type"
    for each in (path, "/v1/tokens/nonsense"):
        answer = await without_key(ingest, each, {"result": 1}, **page)
        assert answer.headers["access-control-allow-origin"] == "*"
    closed = await without_key(ingest, f"/v1/executions/{execution_id}/messages", None, "OPTIONS", **asked)
    assert closed.status_code == 401
    assert "access-control-allow-origin" not in closed.headers


async def test_without_a_key_only_the_token_route_is_open(ingest: Ingest) -> None:
    """Nothing beside or below it."""
    execution_id = await started(ingest)
    good = token(ingest, execution_id)
    for path in ("/v1/tokens", "/v1/tokens/", f"/v1/tokens/{good}/complete", f"/v1/tokens/..%2f{good}", "/v1/events"):
        assert (await without_key(ingest, path, {})).status_code == 401, path
    assert (await without_key(ingest, f"/v1/tokens/{good}", None, "GET")).status_code == 405
    assert len(await ingest.facts(execution_id)) == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"result": 1, "error": {"message": "no"}}, 422, "invalid_option"),
        ({"result": "x" * (message_bytes_max - 2)}, 202, None),
        ({"result": "x" * (message_bytes_max - 1)}, 413, "payload_too_large"),
        ({"result": "x" * OPEN_REQUEST_BYTES_MAX}, 413, "payload_too_large"),
        ({"error": {"message": "x" * error_message_chars_max}}, 202, None),
        ({"error": {"message": "x" * (error_message_chars_max + 1)}}, 422, "invalid_option"),
        ({"error": {"text": "no"}}, 422, "invalid_option"),
        ({"answer": 1}, 422, "invalid_option"),
        ([], 422, "invalid_option"),
    ],
)  # fmt: skip
async def test_a_token_takes_one_answer_within_limits(ingest: Ingest, body: Any, status: int, code: str | None) -> None:
    """Each limit with its error, exactly at its edge."""
    execution_id = await started(ingest)
    answer = await without_key(ingest, f"/v1/tokens/{token(ingest, execution_id)}", body)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


async def test_the_document_says_that_a_token_needs_no_key(ingest: Ingest) -> None:
    """Generated clients do not ask for one."""
    document = (await ingest.http.get("/schema")).json()
    assert document["paths"]["/v1/tokens/{token}"]["post"]["security"] == [{}]
    assert "MessageBody" in document["components"]["schemas"]


# Resuming.


async def test_a_paused_execution_is_resumed_once(ingest: Ingest) -> None:
    """Then it is queued for its next attempt, and no longer paused."""
    failing = c.Fail(activation=1, error=BOOM, policy=RetryPolicy(), pause=True)
    execution_id = await started(ingest, failing)
    answer = await ingest.post(f"/v1/executions/{execution_id}/resume")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    again = await ingest.post(f"/v1/executions/{execution_id}/resume")
    assert (again.status_code, again.json()["code"], again.json()["state"]) == (409, "wrong_state", "queued")


async def test_resuming_takes_no_options(ingest: Ingest) -> None:
    """A mistaken one is named."""
    answer = await ingest.post(f"/v1/executions/{await started(ingest)}/resume", {"from": "a"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")
