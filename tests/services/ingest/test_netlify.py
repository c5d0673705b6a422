"""Netlify's address: what its callers get, and what becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
import pytest_asyncio

from penstock.domain.function.options import FunctionSpec
from penstock.domain.limits import netlify_body_bytes_max
from penstock.jetstream.server import EmbeddedServer
from running_ingest import KEY, Ingest, declare, running_ingest

PLACE = "/.netlify/functions"
OPEN = ["open-background", "marked"]
ORIGIN = "https://shop.example.com"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ingest(nats_server: EmbeddedServer) -> AsyncIterator[Ingest]:
    """One service for all tests of the module: they share nothing but it."""
    origins = f"{ORIGIN}, https://other.example.com"
    async with running_ingest(nats_server.url, netlify_open=", ".join(OPEN), netlify_origins=origins) as service:
        names = ("hello-background", "open-background", "plain", "limited-background")
        await declare(service.runtime, *(FunctionSpec(name=name) for name in names))
        takes_none = {"type": "object", "properties": {}, "additionalProperties": False}
        await declare(
            service.runtime,
            FunctionSpec(name="marked", background=True),
            FunctionSpec(name="none-background", parameters=takes_none),
        )
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stranger(ingest: Ingest) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without the API key."""
    async with httpx2.AsyncClient(base_url=ingest.http.base_url) as client:
        yield client


async def event_of(ingest: Ingest, answer: httpx2.Response) -> dict[str, Any]:
    """The one argument of the execution that this answer tells of."""
    assert answer.status_code == 202, answer.text
    (event,) = msgspec.json.decode((await ingest.first(answer.headers["x-nf-request-id"])).args)
    return event


async def test_a_call_is_answered_with_nothing_but_its_id(ingest: Ingest) -> None:
    """202, an empty body, no address; the execution is in the log."""
    answer = await ingest.http.post(f"{PLACE}/hello-background", json={"a": 1})
    assert (answer.status_code, answer.content) == (202, b"")
    assert "location" not in answer.headers
    first = await ingest.first(answer.headers["x-nf-request-id"])
    assert (first.function, first.policy, first.timeout) == ("hello-background", "netlify", 900_000_000)
    assert await ingest.state(answer.headers["x-nf-request-id"]) == "queued"


async def test_the_request_becomes_the_event(ingest: Ingest) -> None:
    """The one argument, with the id of the answer in it; the API key is not."""
    answer = await ingest.http.post(
        f"{PLACE}/hello-background/on/top%20?q=1&q=2", json={"a": 1}, headers={"X-Own": "v"}
    )
    event = await event_of(ingest, answer)
    assert (event["httpMethod"], event["path"]) == ("POST", f"{PLACE}/hello-background/on/top%20")
    assert (event["body"], event["isBase64Encoded"]) == ('{"a":1}', False)
    assert (event["rawQuery"], event["queryStringParameters"]) == ("q=1&q=2", {"q": "1, 2"})
    assert event["rawUrl"] == f"{str(ingest.http.base_url).rstrip('/')}{PLACE}/hello-background/on/top%20?q=1&q=2"
    headers = event["headers"]
    assert headers["x-nf-request-id"] == answer.headers["x-nf-request-id"]
    assert (headers["x-own"], headers["client-ip"]) == ("v", "127.0.0.1")
    assert KEY not in str(event)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_any_method_starts_a_function(ingest: Ingest, method: str) -> None:
    """And is named in the event."""
    event = await event_of(ingest, await ingest.http.request(method, f"{PLACE}/hello-background"))
    assert (event["httpMethod"], event["body"]) == (method, None)


@pytest.mark.parametrize("method", ["HEAD", "TRACE", "PROPFIND"])
async def test_other_methods_start_nothing(ingest: Ingest, method: str) -> None:
    """They are refused."""
    answer = await ingest.http.request(method, f"{PLACE}/hello-background")
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


async def test_a_body_that_is_no_text_is_base64(ingest: Ingest) -> None:
    """Also where nobody says what it is."""
    for headers in ({"content-type": "image/png"}, {}):
        answer = await ingest.http.post(f"{PLACE}/hello-background", content=b"\x00\xff", headers=headers)
        event = await event_of(ingest, answer)
        assert (event["body"], event["isBase64Encoded"]) == ("AP8=", True)


@pytest.mark.parametrize("name", ["nowhere-background", "plain", "anything", "Hello-background", "a" * 65])
async def test_what_is_no_background_function_is_not_found(ingest: Ingest, name: str) -> None:
    """Neither unknown ones nor those that do not say that they may be started here; names are case-sensitive."""
    answer = await ingest.http.post(f"{PLACE}/{name}")
    assert (answer.status_code, answer.text) == (404, "Function not found...")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("name", ["", "%20", "a.b-background", "h%C3%A9-background", "a%2Fb-background"])
async def test_a_name_that_cannot_be_one_is_said_so(ingest: Ingest, name: str) -> None:
    """As text, as all errors here."""
    answer = await ingest.http.post(f"{PLACE}/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert "alphanumeric" in answer.text


async def test_a_mark_makes_a_background_function(ingest: Ingest) -> None:
    """Whatever its name."""
    answer = await ingest.http.post(f"{PLACE}/marked")
    assert (answer.status_code, answer.content) == (202, b"")


async def test_a_body_may_fill_the_limit_and_no_more(ingest: Ingest) -> None:
    """256 KB; what is no text counts with the third that base64 adds."""
    text = {"content-type": "text/plain"}
    place = f"{PLACE}/hello-background"
    fits = await ingest.http.post(place, content=b"a" * netlify_body_bytes_max, headers=text)
    # So much goes through the object store.
    assert (await ingest.first(fits.headers["x-nf-request-id"])).arguments_ref is not None
    for content, headers in (
        (b"a" * (netlify_body_bytes_max + 1), text),
        (b"a" * (netlify_body_bytes_max // 4 * 3 + 1), {}),
    ):
        answer = await ingest.http.post(place, content=content, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "text/plain; charset=utf-8")
        assert "262144 bytes" in answer.text


async def test_a_body_without_a_length_is_cut_off_too(ingest: Ingest) -> None:
    """Whoever sends in chunks cannot send more."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 20_000

    answer = await ingest.http.post(f"{PLACE}/hello-background", content=endless())
    assert answer.status_code == 413


async def test_without_the_key_nobody_starts_what_is_not_open(stranger: httpx2.AsyncClient) -> None:
    """Nor learns what there is."""
    for name in ("hello-background", "nowhere-background", "a.b", ""):
        answer = await stranger.post(f"{PLACE}/{name}", headers={"authorization": "Bearer wrong"})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "text/plain; charset=utf-8")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_key_in_the_address_is_no_key(stranger: httpx2.AsyncClient) -> None:
    """It would stand in logs, and in the event."""
    assert (await stranger.post(f"{PLACE}/hello-background?token={KEY}")).status_code == 401


@pytest.mark.parametrize("name", OPEN)
async def test_what_the_operator_opened_is_open(ingest: Ingest, stranger: httpx2.AsyncClient, name: str) -> None:
    """An Authorization header is then the function's own business, unless it is the API key."""
    own = await stranger.post(f"{PLACE}/{name}", headers={"authorization": "Bearer visitor"})
    assert (await event_of(ingest, own))["headers"]["authorization"] == "Bearer visitor"
    key = await stranger.post(f"{PLACE}/{name}", headers={"authorization": f"Bearer {KEY}"})
    assert "authorization" not in (await event_of(ingest, key))["headers"]


async def test_everything_may_be_open(nats_server: EmbeddedServer) -> None:
    """With `*`; other addresses still want the key, and pages may then come from anywhere."""
    async with running_ingest(nats_server.url, netlify_open="*", netlify_origins="*") as service:
        await declare(service.runtime, FunctionSpec(name="hello-background"))
        async with httpx2.AsyncClient(base_url=service.http.base_url) as anybody:
            answer = await anybody.post(f"{PLACE}/hello-background", headers={"origin": "https://a.example"})
            assert answer.status_code == 202
            assert answer.headers["access-control-allow-origin"] == "https://a.example"
            assert (await anybody.post(f"{PLACE}/add")).status_code == 404
            assert (await anybody.post("/v1/functions/hello-background/executions")).status_code == 401


async def test_every_answer_has_a_request_id_of_its_own(ingest: Ingest, stranger: httpx2.AsyncClient) -> None:
    """Errors and preflights, too."""
    answers = [
        await ingest.http.post(f"{PLACE}/hello-background"),
        await ingest.http.post(f"{PLACE}/nowhere-background"),
        await ingest.http.post(f"{PLACE}/a.b"),
        await ingest.http.options(f"{PLACE}/hello-background"),
        await ingest.http.post(f"{PLACE}/none-background"),
        await stranger.post(f"{PLACE}/hello-background"),
    ]
    assert len({answer.headers["x-nf-request-id"] for answer in answers}) == len(answers)


async def test_a_function_that_takes_no_argument_is_no_netlify_function(ingest: Ingest) -> None:
    """The caller hears of it, in one sentence."""
    answer = await ingest.http.post(f"{PLACE}/none-background")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/plain; charset=utf-8")
    assert "takes 0 by position" in answer.text


async def test_pages_elsewhere_read_nothing_by_default(stranger: httpx2.AsyncClient) -> None:
    """The function of a simple request runs all the same, as on the platform."""
    answer = await stranger.post(f"{PLACE}/open-background", headers={"origin": "https://evil.example"})
    assert answer.status_code == 202
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = await stranger.options(
        f"{PLACE}/open-background",
        headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
    )
    assert not [name for name in preflight.headers if name.startswith("access-control")]


async def test_pages_of_a_listed_origin_may_call(stranger: httpx2.AsyncClient) -> None:
    """The preflight allows what is asked for, and errors can be read, too."""
    asked = {
        "origin": ORIGIN, "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }  # fmt: skip
    preflight = await stranger.options(f"{PLACE}/hello-background", headers=asked)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "origin" in preflight.headers["vary"].lower()
    for name, status in (("open-background", 202), ("hello-background", 401)):
        answer = await stranger.post(f"{PLACE}/{name}", headers={"origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ORIGIN)
        assert "x-nf-request-id" in answer.headers["access-control-expose-headers"]


async def test_a_preflight_starts_nothing(ingest: Ingest) -> None:
    """Whoever asks: its request id is that of no execution."""
    answer = await ingest.http.options(f"{PLACE}/hello-background", headers={"origin": ORIGIN})
    assert answer.status_code == 204
    assert await ingest.facts(answer.headers["x-nf-request-id"]) == []


async def test_a_rerun_keeps_the_retries_of_the_platform(ingest: Ingest) -> None:
    """It is the same call once more, with the event of the first."""
    made = (await ingest.http.post(f"{PLACE}/hello-background", json=1)).headers["x-nf-request-id"]
    again = (await ingest.post(f"/v1/executions/{made}/rerun")).json()["id"]
    first, second = await asyncio.gather(ingest.first(made), ingest.first(again))
    assert (second.policy, second.timeout, bytes(second.args)) == ("netlify", first.timeout, bytes(first.args))


async def test_a_call_continues_the_trace_of_its_caller(ingest: Ingest) -> None:
    """As at every other door."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await ingest.http.post(
        f"{PLACE}/hello-background", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    )
    assert (await ingest.first(answer.headers["x-nf-request-id"])).trace_id == trace
