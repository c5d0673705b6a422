"""Every kind of bad input over HTTP gets a problem document with its own code."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from penstock.domain.limits import (
    arguments_bytes_max,
    batch_items_max,
    event_bytes_max,
    json_depth_max,
    request_bytes_max,
)
from penstock.jetstream.server import EmbeddedServer
from running_ingest import KEY, Ingest, running_ingest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ingest(nats_server: EmbeddedServer) -> AsyncIterator[Ingest]:
    """One service for all tests here: what is refused leaves nothing behind."""
    async with running_ingest(nats_server.url) as service:
        yield service


ADD = "/v1/functions/add/executions"
ANY = "/v1/functions/anything/executions"
EVENTS = "/v1/events"


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, after its form was checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["type"] == f"urn:penstock:problem:{code}"
    assert body["title"]
    assert body["detail"]
    return body


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("body", [b"{", b'{"args": [NaN]}', b'{"args": [1e999]}', b'{"args": ["\xff"]}', b"{} {}"])
async def test_what_is_no_json_is_refused(ingest: Ingest, body: bytes) -> None:
    """Malformed, NaN, out of range, not UTF-8, or followed by more."""
    problem(await ingest.post(ANY, body), 400, "invalid_json")


async def test_a_whole_number_beyond_64_bits_is_refused(ingest: Ingest) -> None:
    """It would lose its value elsewhere; the field is named."""
    body = problem(await ingest.post(ANY, b'{"kwargs":{"n":[1,9223372036854775808]}}'), 422, "invalid_arguments")
    assert body["errors"][0]["pointer"] == "/kwargs/n/1"


async def test_the_largest_whole_number_is_taken(ingest: Ingest) -> None:
    """The edge itself is fine."""
    assert (await ingest.post(ANY, b'{"args":[9223372036854775807,-9223372036854775808]}')).status_code == 202


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"args": ["one", 2]}, ["/args/0"]),
        ({"args": [1], "kwargs": {"b": "two"}}, ["/kwargs/b"]),
        ({"args": [1]}, ["/kwargs/b"]),
        ({"args": [1, 2, 3]}, ["/args/2"]),
        ({"args": [1, 2], "kwargs": {"a": 1}}, ["/kwargs/a"]),
        ({"args": [1, 2], "kwargs": {"c": 1}}, ["/kwargs/c"]),
        ({"args": {"a": 1}}, ["/args"]),
        ({"kwargs": [1]}, ["/kwargs"]),
        ({"arguments": [1, 2]}, ["/arguments"]),
    ],
)
async def test_wrong_arguments_name_their_fields(ingest: Ingest, body: Any, pointers: list[str]) -> None:
    """Wrong type, missing, surplus, twice, unknown, or of the wrong shape."""
    found = problem(await ingest.post(ADD, body), 422, "invalid_arguments")
    assert [error["pointer"] for error in found["errors"]] == pointers


async def test_nesting_is_taken_up_to_its_limit(ingest: Ingest) -> None:
    """The array `args` itself counts as one level."""
    assert (await ingest.post(ANY, b'{"args":' + nested(json_depth_max) + b"}")).status_code == 202
    problem(await ingest.post(ANY, b'{"args":' + nested(json_depth_max + 1) + b"}"), 413, "too_deep")


async def test_absurd_nesting_is_refused_like_any_other(ingest: Ingest) -> None:
    """A hundred thousand brackets exhaust nothing."""
    problem(await ingest.post(ANY, b'{"args":' + nested(100_000) + b"}"), 413, "too_deep")
    problem(await ingest.post(EVENTS, b'{"name":"a","data":' + nested(100_000) + b"}"), 413, "too_deep")


async def test_arguments_are_taken_up_to_their_limit(ingest: Ingest) -> None:
    """`args` and `kwargs` count together, as JSON."""
    overhead = len(b'[""]') + len(b"{}")
    fits = b'{"args":["' + b"x" * (arguments_bytes_max - overhead) + b'"]}'
    assert (await ingest.post(ANY, fits)).status_code == 202
    over = b'{"args":["' + b"x" * (arguments_bytes_max - overhead + 1) + b'"]}'
    problem(await ingest.post(ANY, over), 413, "payload_too_large")


async def test_a_request_over_the_limit_is_refused(ingest: Ingest) -> None:
    """Announced by Content-Length or not."""
    problem(await ingest.post(ANY, b" " * (request_bytes_max + 1)), 413, "payload_too_large")

    async def chunks() -> Any:
        for _ in range(request_bytes_max // 1_000_000 + 1):
            yield b" " * 1_000_000

    problem(await ingest.http.post(ANY, content=chunks()), 413, "payload_too_large")


async def test_a_batch_over_the_limit_is_refused(ingest: Ingest) -> None:
    """As a whole: nothing of it is stored."""
    items = [{}] * (batch_items_max + 1)
    problem(await ingest.post(ANY + "/batch", {"items": items}), 413, "payload_too_large")


@pytest.mark.parametrize("name", ["has%20space", "a.b", "a*", "%00", "x" * 65, "a%3E", "%C3%BC"])
async def test_a_bad_function_name_is_refused(ingest: Ingest, name: str) -> None:
    """Spaces, dots, wildcards, control characters, other scripts, over length."""
    problem(await ingest.post(f"/v1/functions/{name}/executions"), 422, "invalid_name")


async def test_an_unknown_function_is_answered_with_the_near_names(ingest: Ingest) -> None:
    """A mistyped name is easily corrected."""
    body = problem(await ingest.post("/v1/functions/ad/executions"), 404, "unknown_function")
    assert "add" in body["near"]


@pytest.mark.parametrize("name", ["has space", "a..b", "a.*", "", "x" * 65, ".".join("abcdefghi"), "a\nb", "a.>"])
async def test_a_bad_event_name_is_refused(ingest: Ingest, name: str) -> None:
    """It would not be a subject, or one that means something else."""
    found = problem(await ingest.post(EVENTS, {"name": name}), 422, "invalid_name")
    assert [error["pointer"] for error in found["errors"]] == ["/name"]


@pytest.mark.parametrize("delay", ["soon", "-5s", "5 parsecs", "", True])
async def test_a_bad_duration_is_refused(ingest: Ingest, delay: Any) -> None:
    """Text that is no duration, a negative one, or another type."""
    answer = await ingest.post(ANY, {"options": {"delay": delay}})
    found = problem(answer, 422, "invalid_duration")
    assert [error["pointer"] for error in found["errors"]] == ["/options/delay"]


async def test_an_unknown_option_is_named(ingest: Ingest) -> None:
    """A misspelt option never passes unnoticed."""
    body = problem(await ingest.post(ANY, {"options": {"dellay": "5s"}}), 422, "invalid_option")
    assert body["errors"][0]["pointer"] == "/options/dellay"


async def test_an_option_of_the_wrong_type_is_named(ingest: Ingest) -> None:
    """As with arguments."""
    body = problem(await ingest.post(ANY, {"options": {"retries": "3"}}), 422, "invalid_option")
    assert body["errors"][0]["pointer"] == "/options/retries"


async def test_a_key_with_other_arguments_is_a_conflict(ingest: Ingest) -> None:
    """The existing execution is named and stays as it is."""
    first = (await ingest.post(ADD, {"args": [1, 2]}, idempotency_key='"k"')).json()
    body = problem(await ingest.post(ADD, {"args": [1, 3]}, idempotency_key='"k"'), 409, "idempotency_conflict")
    assert body["execution_id"] == first["id"]


@pytest.mark.parametrize("key", ['"open', "k" * 257, '""'])
async def test_a_bad_key_is_refused(ingest: Ingest, key: str) -> None:
    """Half a quotation, too long, or empty."""
    problem(await ingest.post(ADD, {"args": [1, 2]}, idempotency_key=key), 422, "invalid_option")


@pytest.mark.parametrize("path", [ADD, ADD + "/batch", EVENTS, "/v1/executions/x/cancel", "/schema", "/nowhere"])
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Basic {KEY}", "Bearer", KEY])
async def test_without_the_key_nothing_is_answered(ingest: Ingest, path: str, authorization: str | None) -> None:
    """Every address asks for it, also those that do not exist."""
    async with httpx2.AsyncClient(base_url=ingest.http.base_url) as stranger:
        headers = {} if authorization is None else {"authorization": authorization}
        answer = await stranger.post(path, content=b"{}", headers=headers)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_another_media_type_is_refused(ingest: Ingest) -> None:
    """For calls and for events."""
    problem(
        await ingest.post(ADD, b"a=1", content_type="application/x-www-form-urlencoded"), 415, "unsupported_media_type"
    )
    problem(await ingest.post(EVENTS, b"<a/>", content_type="text/xml"), 415, "unsupported_media_type")
    avro = "application/cloudevents+avro"
    problem(await ingest.post(EVENTS, b"\x00", content_type=avro), 415, "unsupported_media_type")


GOOD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "user.signup"}


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": ""},
        {"id": 7},
        {"id": "x" * 257},
        {"source": None},
        {"source": "has space"},
        {"source": "x" * 513},
        {"type": None},
        {"specversion": "0.3"},
        {"specversion": None},
        {"time": "yesterday"},
        {"data_base64": "not base64!"},
        {"data_base64": "AAAA", "data": 1},
        {"bad-name": "x"},
        {"extension": {"a": 1}},
    ],
)
async def test_a_bad_cloudevent_is_refused(ingest: Ingest, change: dict[str, Any]) -> None:
    """Missing or wrong attributes, bad base64, data twice, extensions that are none."""
    event = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    answer = await ingest.post(EVENTS, event, content_type="application/cloudevents+json")
    problem(answer, 400, "invalid_event")


async def test_an_event_is_taken_up_to_its_limit(ingest: Ingest) -> None:
    """The limit is on the message as it travels, headers included."""
    kind = "application/cloudevents+json"
    empty = len(b'{"specversion":"1.0","id":"1","source":"/s","type":"user.signup","data":""}')
    room = event_bytes_max - empty - len("Content-Type") - len(kind) - 4
    fits = await ingest.post(EVENTS, {**GOOD, "data": "x" * room}, content_type=kind)
    assert fits.status_code == 202
    over = await ingest.post(EVENTS, {**GOOD, "data": "x" * (room + 1)}, content_type=kind)
    problem(over, 413, "payload_too_large")


@pytest.mark.parametrize("body", [{"data": 1}, {"name": 1}, {"name": "a", "extra": 1}, [1]])
async def test_a_bad_short_event_is_refused(ingest: Ingest, body: Any) -> None:
    """No name, a name that is none, further members, or no object."""
    problem(await ingest.post(EVENTS, body), 400, "invalid_event")
