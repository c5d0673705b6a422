"""Changes of executions as server-sent events: live, filtered, resumed, and with readers that are slow."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from msgspec import Raw

from eventually import eventually
from penstock.client.client import Client
from penstock.domain.execution import facts as f
from penstock.domain.limits import stream_readers_max
from penstock.jetstream.connect import Connection
from penstock.jetstream.provision import provision
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Append
from penstock.wire.names import Names
from penstock.wire.sse import ServerEventParser
from penstock_query import stream
from penstock_query.routes import stream as stream_route
from sample_facts import new_id, now
from services_query_api import KEY, Api, open_api
from services_query_stream import StreamReader

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOOM = f.ErrorInfo(code="user_error", type="ValueError", message="line\u2028end \x85 \x0b")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def names(nats_server: EmbeddedServer) -> Names:
    """An environment for the whole module."""
    names = Names(f"s-{uuid.uuid4().hex[:12]}")
    connection = Connection("test")
    await connection.open(nats_server.url)
    await provision(connection, names)
    await connection.close()
    return names


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the view is."""
    return tmp_path_factory.mktemp("view")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(nats_server: EmbeddedServer, names: Names, data: Path) -> AsyncIterator[Api]:
    """One service for the whole module."""
    async with AsyncExitStack() as stack:
        yield await open_api(stack, nats_server, names, data, "")


def enqueued(execution_id: str, **fields: Any) -> f.Enqueued:
    return f.Enqueued(**{"n": 1, "at": now(), "function": "work", "trace_id": execution_id, **fields})


def started(n: int = 2) -> f.Started:
    return f.Started(n=n, at=now(), activation=1, attempt=1, runner="r1")


def succeeded(n: int = 3) -> f.Succeeded:
    return f.Succeeded(n=n, at=now(), attempt=1, result=Raw(b"1"))


async def run_one(api: Api, **fields: Any) -> str:
    """An execution from its beginning to its end: three changes."""
    execution_id = new_id()
    function = fields.get("function", "work")
    await api.append(execution_id, [enqueued(execution_id, **fields), started(), succeeded()], function=function)
    return execution_id


async def test_each_change_is_one_event(api: Api) -> None:
    """Created, the attempt, progress and the end come in their order, each at the position of its fact."""
    execution_id = new_id()
    async with StreamReader(api, execution=execution_id) as reader:
        last = await api.append(execution_id, [enqueued(execution_id)])
        said = f.Progressed(n=3, at=now(), done=1, total=3, note="asked")
        last = await api.append(execution_id, [started(), said], last)
        step = f.StepCompleted(n=4, at=now(), attempt=1, step="s", started_at=now(), result=Raw(b"1"))
        await api.append(execution_id, [step, f.Failed(n=5, at=now(), attempt=1, error=BOOM)], last)
        events = await reader.take(4)
    assert [(event, data["state"]) for _, event, data in events] == [
        ("created", "queued"),
        ("attempt", "running"),
        ("progress", "running"),
        ("final", "failed"),
    ]
    assert [data["sequence"] for _, _, data in events] == [position for position, _, _ in events]
    assert events[2][2]["progress"]["note"] == "asked"
    assert events[3][2] == await api.get(f"/v1/executions/{execution_id}")


async def test_what_is_sent_is_in_the_view(api: Api) -> None:
    """Who hears of a change finds it in the lists at once, without waiting for a position."""
    async with StreamReader(api, state="succeeded") as reader:
        execution_id = await run_one(api, metadata={"who": "seen"})
        ((position, event, _),) = await reader.take(1)
    answer = await api.client.get("/v1/executions", params={"metadata.who": "seen"})
    assert (event, position) == ("final", f"x:{api.last}")
    assert [(each["id"], each["state"]) for each in answer.json()["data"]] == [(execution_id, "succeeded")]


async def test_a_reader_resumes_without_gap_or_repeat(api: Api) -> None:
    """The header names the last event that was read; what follows begins right behind it."""
    async with StreamReader(api, function="resumed") as reader:
        first, second = await run_one(api, function="resumed"), await run_one(api, function="resumed")
        ((read, _, _),) = await reader.take(1)
    async with StreamReader(api, resume=read, function="resumed") as reader:
        third = await run_one(api, function="resumed")
        events = await reader.take(8)
    assert [data["id"] for _, _, data in events] == [first] * 2 + [second] * 3 + [third] * 3
    assert [event for _, event, _ in events[:5]] == ["attempt", "final", "created", "attempt", "final"]


async def test_the_header_goes_before_the_address(api: Api) -> None:
    """A browser that comes back keeps the address of its first connection."""
    start = f"x:{api.last}"
    execution_id = await run_one(api)
    async with StreamReader(api, after=start, execution=execution_id) as reader:
        events = await reader.take(3)
    async with StreamReader(api, resume=events[1][0], after=start, execution=execution_id) as reader:
        assert await reader.take(1) == events[2:]


@pytest.mark.parametrize(
    ("filters", "fields"),
    [
        ({"function": "mine,other"}, {"function": "mine"}),
        ({"parent_id": "a" * 32}, {"parent_id": "a" * 32}),
        ({"metadata.user": "u1,u2"}, {"metadata": {"user": "u2"}}),
    ],
)
async def test_filters_leave_out_the_rest(api: Api, filters: dict[str, str], fields: dict[str, Any]) -> None:
    """Of two executions only the changes of the one that fits are sent."""
    async with StreamReader(api, **filters) as reader:
        await run_one(api)
        wanted = await run_one(api, **fields)
        assert {data["id"] for _, _, data in await reader.take(3)} == {wanted}


async def test_an_execution_that_began_before_is_whole(api: Api) -> None:
    """What happened before the reader came is looked up."""
    execution_id = new_id()
    last = await api.append(execution_id, [enqueued(execution_id, metadata={"a": "b"})])
    await api.get(f"/v1/executions/{execution_id}")
    async with StreamReader(api, execution=execution_id) as reader:
        await api.append(execution_id, [started(), succeeded()], last)
        events = await reader.take(2)
    assert [(event, data["metadata"]) for _, event, data in events] == [("attempt", {"a": "b"}), ("final", {"a": "b"})]


async def test_silence_is_broken_with_the_position(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader whose filter lets nothing through comes back near the end all the same."""
    monkeypatch.setattr(stream_route, "HEARTBEAT_SECONDS", 0.05)
    async with StreamReader(api, function="nothing") as reader:
        await run_one(api)
        await reader.until_block(f"still here\nid: x:{api.last}".encode())


async def test_what_is_too_far_back_is_left_out_aloud(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the limit behind is replayed; one fact more is skipped, and the reader is told which."""
    first = await run_one(api)
    await api.get(f"/v1/executions/{first}")
    monkeypatch.setattr(stream, "stream_replay_facts_max", 3)
    async with StreamReader(api, resume=f"x:{api.last - 3}") as reader:
        assert await reader.states(3) == [("created", "queued"), ("attempt", "running"), ("final", "succeeded")]
    start = api.last - 4
    async with StreamReader(api, resume=f"x:{start}") as reader:
        assert await reader.take(1) == [
            (f"x:{api.last}", "skipped", {"after": f"x:{start}", "sequence": f"x:{api.last}"})
        ]


async def test_a_slow_reader_holds_up_nobody_and_loses_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one does not read, the other has everything; then the slow one gets it too, from the log."""
    monkeypatch.setattr(stream, "KEPT", 20)
    count, ballast = 400, {f"k{number}": "x" * 500 for number in range(30)}
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", api.client.base_url.port))
    slow.sendall(f"GET /v1/stream?function=big HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
    slow.setblocking(False)
    read, write = await asyncio.open_connection(sock=slow, limit=1024)
    await read.readuntil(b"id: ")
    async with StreamReader(api, function="big") as quick:
        ids = [new_id() for _ in range(count)]
        facts = [[enqueued(each, function="big", metadata=ballast)] for each in ids]
        await api.log.append_many(
            [Append(execution_id=a, function="big", facts=b, expected=0) for a, b in zip(ids, facts, strict=True)]
        )
        events = await quick.take(count)
        await run_one(api, function="big")
        events += await quick.take(3)
    parser = ServerEventParser()
    found: list[str] = []
    async with asyncio.timeout(20):
        while events[-1][0] not in found:
            found.extend(event.id for event in parser.feed(await read.read(65536)))
    write.close()
    assert found == [position for position, _, _ in events]
    assert sorted(data["id"] for _, _, data in events[:count]) == sorted(ids)


async def test_a_reader_too_many_is_refused(api: Api) -> None:
    """The last of the places is given, and one that is left is free again."""
    port, writers = api.client.base_url.port, []
    for _ in range(stream_readers_max):
        read, write = await asyncio.open_connection("127.0.0.1", port)
        write.write(f"GET /v1/stream HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        writers.append(write)
        await read.readuntil(b"id: ")
    answer = await api.client.get("/v1/stream")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    writers.pop().close()

    async def is_free() -> bool:
        async with api.client.stream("GET", "/v1/stream") as response:
            return response.status_code == 200

    assert await eventually(is_free)
    for write in writers:
        write.close()


@pytest.mark.parametrize("after", ["e:1", "7", "x:-1"])
async def test_a_bad_position_is_refused(api: Api, after: str) -> None:
    """In the address and in the header alike."""
    for params, headers in (({"after": after}, {}), ({}, {"Last-Event-ID": after})):
        answer = await api.client.get("/v1/stream", params=params, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_query")


async def test_a_stranger_is_refused(api: Api) -> None:
    """No key, no stream."""
    async with httpx2.AsyncClient(base_url=api.client.base_url) as stranger:
        answer = await stranger.get("/v1/stream")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_the_stream_is_documented(api: Api) -> None:
    """Its filters, its header and its media type."""
    operation = (await api.client.get("/schema")).json()["paths"]["/v1/stream"]["get"]
    parameters = {each["name"] for each in operation["parameters"]}
    assert parameters == {"state", "function", "execution", "parent_id", "after", "Last-Event-ID"}
    assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]


async def test_the_client_iterates_over_changes(api: Api) -> None:
    """`Client.stream` yields each change with its execution, text of any kind included."""
    start, execution_id = f"x:{api.last}", new_id()
    await api.append(execution_id, [enqueued(execution_id), started(), f.Failed(n=3, at=now(), attempt=1, error=BOOM)])
    found = []
    async with Client(str(api.client.base_url), KEY) as client:
        async for change in client.stream(execution=execution_id, after=start):
            found.append(change)
            if change.event == "final":
                break
    assert [each.event for each in found] == ["created", "attempt", "final"]
    assert found[-1].execution["error"]["message"] == BOOM.message


async def test_a_copy_that_stands_by_streams_too(
    api: Api, nats_server: EmbeddedServer, names: Names, data: Path
) -> None:
    """Another process makes the view; its changes are seen there."""
    async with AsyncExitStack() as stack:
        copy = await open_api(stack, nats_server, names, data, "")
        async with StreamReader(copy, function="shared") as reader:
            execution_id = await run_one(api, function="shared")
            assert [each["id"] for _, _, each in await reader.take(3)] == [execution_id] * 3


async def test_a_reader_goes_on_across_a_restart(nats_server: EmbeddedServer, names: Names, tmp_path: Path) -> None:
    """A stopped service ends its streams at once; after its return they go on where they were."""
    async with AsyncExitStack() as stack:
        api = await open_api(stack, nats_server, names, tmp_path, "")
        async with StreamReader(api, function="lasting") as reader:
            first = await run_one(api, function="lasting")
            events = await reader.take(2)
            api.runtime.stopping.set()
            await reader.until_closed()
        second = new_id()
        await api.append(second, [enqueued(second, function="lasting")], function="lasting")
    async with AsyncExitStack() as stack:
        api = await open_api(stack, nats_server, names, tmp_path, "")
        async with StreamReader(api, resume=events[-1][0], function="lasting") as reader:
            after = await reader.take(2)
    assert [(event, data["id"]) for _, event, data in after] == [("final", first), ("created", second)]
