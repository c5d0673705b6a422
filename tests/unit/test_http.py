"""The HTTP door of a process, over real HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest
from litestar import HttpMethod, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from penstock.domain.errors import Rejected
from penstock.domain.limits import request_bytes_max
from penstock.jetstream.refused import StartRefused
from penstock.ports import Unavailable
from penstock.service.defer import DEFER
from penstock.service.direct import Call, direct_post, foreign
from penstock.service.http import HttpApp, json_answer
from penstock.service.problems import Answer
from penstock.service.serve import serve
from penstock.service.settings import Settings


class Body(msgspec.Struct):
    """A body."""

    a: int = 0


@get("/v1/things/{number:int}", sync_to_thread=False)
def thing(number: FromPath[int], limit: FromQuery[int] = 1) -> dict[str, int]:
    """A thing by its number; 0 breaks, 1 is refused, 2 is not to be had."""
    if number == 1:
        raise Rejected("wrong_state", "It is over.", state="failed")
    if number == 2:
        raise Unavailable("gone")
    return {"number": number // number, "limit": limit}


async def echo(call: Call) -> Answer:
    if call.value == "broken":
        raise RuntimeError("hunter2")
    return json_answer(202, {"value": call.value, "size": len(call.body)})


ECHO: HTTPRouteHandler = direct_post(
    "/v1/echoes/{name}", echo, operation_id="echo", summary="Echo", body=Body, answer=Body, example={"a": 1}
)


FOREIGN: HTTPRouteHandler = foreign("/public/echoes/{name}", echo, DEFER, HttpMethod.PATCH)


@asynccontextmanager
async def serving(checks: dict[str, Callable[[], str | None]] | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stopping = asyncio.Event()
    app = HttpApp([thing, ECHO, FOREIGN], "key", checks or {})
    task = asyncio.create_task(serve(app, Settings(http_port=0), stopping, port.set_result))
    base = f"http://127.0.0.1:{await port}"
    async with httpx2.AsyncClient(base_url=base, headers={"authorization": "bearer key"}) as http:
        yield http
    stopping.set()
    await task


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "unknown_route"),
        ("GET", "/v1/things/x", 404, "unknown_route"),
        ("DELETE", "/v1/things/3", 405, "method_not_allowed"),
        ("GET", "/v1/echoes/a", 405, "method_not_allowed"),
        ("GET", "/v1/things/3?limit=many", 400, "invalid_query"),
        ("GET", "/v1/things/0", 500, "internal"),
        ("GET", "/v1/things/1", 409, "wrong_state"),
        ("GET", "/v1/things/2", 503, "unavailable"),
        ("POST", "/v1/echoes/broken", 500, "internal"),
    ],
)
async def test_every_error_is_a_problem_document(method: str, path: str, status: int, code: str) -> None:
    """Those of the framework, ours, and those that nobody foresaw."""
    async with serving() as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("is_open", "status"), [(False, 401), (True, 404)])
async def test_only_a_setting_opens_the_metrics_to_everybody(is_open: bool, status: int) -> None:
    """There are none here, so whoever gets in finds nothing."""
    app = HttpApp([ECHO], "key", {}, metrics_open=is_open)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as http:
        assert (await http.get("/metrics")).status_code == status
        assert (await http.get("/v1/metrics")).status_code == 401


async def test_a_direct_route_and_its_litestar_handler_answer_alike() -> None:
    """The one that documents is no other than the one that answers."""
    app = HttpApp([ECHO], "key", {})
    bodies = []
    for asgi in (app, app.litestar):
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=asgi), base_url="http://x", headers={"authorization": "Bearer key"}
        ) as http:
            answer = await http.post("/v1/echoes/a%20b", content=b"12345")
            bodies.append((answer.status_code, answer.json()))
    assert bodies == [(202, {"value": "a b", "size": 5})] * 2


async def test_a_body_is_taken_up_to_the_limit() -> None:
    """One byte more is refused."""
    async with serving() as http:
        assert (await http.post("/v1/echoes/a", content=b"x" * request_bytes_max)).status_code == 202
        answer = await http.post("/v1/echoes/a", content=b"x" * (request_bytes_max + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_a_door_that_speaks_otherwise_answers_in_its_own_words() -> None:
    """Also what nobody foresaw, of which nothing is told; our document leaves it out, and ours go on as before."""
    async with serving() as http:
        assert (await http.patch("/public/echoes/a", content=b"12345")).json() == {"value": "a", "size": 5}
        broken = await http.patch("/public/echoes/broken")
        elsewhere = await http.get("/public/nowhere")
        large = await http.patch("/public/echoes/a", content=b"x" * (request_bytes_max + 1))
        ours = await http.get("/nowhere")
        document = (await http.get("/schema")).json()
    found = [(each.status_code, each.json()["error"]) for each in (broken, elsewhere, large)]
    assert found == [(500, "internal_error"), (404, "not_found"), (413, "payload_too_large")]
    assert "hunter2" not in broken.text
    assert ours.json()["code"] == "unknown_route"
    assert not [path for path in document["paths"] if path.startswith("/public")]


async def test_a_door_that_speaks_otherwise_has_its_own_key_check() -> None:
    """The page of a person's session is no way around it, and a key that is not there opens nothing."""
    async with serving() as http:
        for authorization in ("Basic a2V5", "Basic OmtleQ", "Token key", "Basic !!!"):
            http.headers["authorization"] = authorization
            assert (await http.patch("/public/echoes/a")).status_code == 401
        http.headers["authorization"] = "basic OmtleQ=="
        assert (await http.patch("/public/echoes/a")).status_code == 202


async def test_health_needs_no_key_and_readiness_names_what_fails() -> None:
    """An orchestrator has no key."""
    async with serving({"nats": lambda: None, "view": lambda: "far behind"}) as http:
        del http.headers["authorization"]
        assert (await http.get("/healthz")).status_code == 200
        answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["failing"]) == (503, {"view": "far behind"})


async def test_readiness_is_plain_when_all_is_well() -> None:
    """200."""
    async with serving({"nats": lambda: None}) as http:
        assert (await http.get("/readyz")).status_code == 200


async def test_the_schema_documents_bodies_and_problems() -> None:
    """OpenAPI 3.1 as JSON, at both addresses, with an example and the key."""
    async with serving() as http:
        document = (await http.get("/schema")).json()
        assert (await http.get("/schema/openapi.json")).json() == document
    assert document["openapi"].startswith("3.1")
    operation = document["paths"]["/v1/echoes/{name}"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["example"] == {"a": 1}
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    assert {"Body", "Problem"} <= set(document["components"]["schemas"])
    assert document["security"] == [{"bearer": []}]


async def test_a_busy_port_names_the_setting() -> None:
    """Refused before anything is served."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = Settings(http_port=other.getsockname()[1])
        with pytest.raises(StartRefused) as refused:
            await serve(HttpApp([], "key", {}), settings, asyncio.Event())
    assert refused.value.code == "port_busy"
    assert "PENSTOCK_HTTP_PORT" in refused.value.remedy


async def test_an_app_without_a_key_is_refused() -> None:
    """An empty key never lets everybody in."""
    with pytest.raises(Rejected, match="PENSTOCK_API_KEY"):
        HttpApp([], "", {})
