"""A running ingest service as its users see it, and the functions that tests call."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec

from eventually import eventually
from penstock.domain.execution.facts import AnyFact, Enqueued, Unknown
from penstock.domain.function.options import FunctionSpec
from penstock.domain.system import EventFannedOut, EventRejected
from penstock.handle import load
from penstock.jetstream.api import request
from penstock.jetstream.connect import Connection
from penstock.jetstream.feed import Feed
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.registry import FunctionRegistry
from penstock.service.http import HttpApp
from penstock.service.lifecycle import Runtime
from penstock.service.serve import serve
from penstock.service.settings import Settings
from penstock.wire.codec import decode_system_fact
from penstock.wire.names import Names
from penstock_ingest.app import open_ingest

KEY = "test-key"

ADD = FunctionSpec(
    name="add",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    positional=["a", "b"],
)
SPECS = [
    ADD,
    FunctionSpec(name="anything"),
    FunctionSpec(name="welcome", on=["user.signup"], when="event.data.plan == 'pro'"),
    FunctionSpec(name="audit", on=["user.*"]),
    FunctionSpec(name="second", on=["*.second.*", "order.paid"]),
    FunctionSpec(name="broken", on=["thing.happened"], when="event.data.size > 3"),
]


@dataclass
class Ingest:
    """A running service as its users see it, and the log behind it."""

    http: httpx2.AsyncClient
    runtime: Runtime
    connection: Connection

    @property
    def names(self) -> Names:
        return self.runtime.names

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """POST JSON, or bytes as they are; keyword arguments are headers, `_` for `-`."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body if body is not None else {})
        given = {"content-type": "application/json"}
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        return await self.http.post(path, content=content, headers=given)

    async def facts(self, execution_id: str) -> list[AnyFact | Unknown]:
        return [entry.fact for entry in await self.runtime.log.find(execution_id)]

    async def first(self, execution_id: str) -> Enqueued:
        fact = (await self.facts(execution_id))[0]
        assert isinstance(fact, Enqueued)
        return fact

    async def state(self, execution_id: str) -> str:
        state = await load(self.runtime.log, execution_id, None)
        assert state is not None
        return str(state.state)

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> int:
        """Publish to EVENTS as any NATS client would; answers with the position."""
        ack = await self.connection.js.publish(subject, data, headers=headers)
        return ack.seq

    async def settled(self, sequence: int) -> EventFannedOut | EventRejected:
        """What the log says became of the message at this position, waiting for it."""

        async def look() -> EventFannedOut | EventRejected | None:
            for kind in ("event_fanned_out", "event_rejected"):
                stored = await self.runtime.log.read_system(kind, str(sequence))
                if stored is not None:
                    fact = decode_system_fact(stored.data)
                    assert isinstance(fact, EventFannedOut | EventRejected)
                    return fact
            return None

        found = await eventually(look)
        assert found is not None
        return found

    async def fanned_out(self, sequence: int) -> EventFannedOut:
        fact = await self.settled(sequence)
        assert isinstance(fact, EventFannedOut), fact
        return fact

    async def rejected(self, sequence: int) -> EventRejected:
        fact = await self.settled(sequence)
        assert isinstance(fact, EventRejected), fact
        return fact


async def declare(runtime: Runtime, *specs: FunctionSpec) -> None:
    for spec in specs:
        await runtime.registry.declare(spec, "runner-of-the-test")
    await eventually(lambda: all(runtime.registry.get(spec.name) == spec for spec in specs))


@asynccontextmanager
async def running_ingest(url: str, **variables: str) -> AsyncIterator[Ingest]:
    """The service in an environment of its own on that NATS server, answering on a free port."""
    names = Names(f"t-{uuid.uuid4().hex[:12]}")
    outside, own = Connection("test"), Connection("ingest")
    await outside.open(url)
    await own.open(url)
    await provision(outside, names)
    log = JetStreamLog(outside, names)
    registry = FunctionRegistry(outside, names, log)
    await registry.open()
    settings = Settings(
        env=names.environment, api_key=KEY, http_port=0, trace_url="http://traces/{trace_id}", **variables
    )
    runtime = Runtime(settings, names, {"ingest": own}, log, registry, Feed(log))
    await declare(runtime, *SPECS)
    async with open_ingest(runtime) as routes:
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        app = HttpApp(routes, KEY, runtime.checks)
        serving = asyncio.create_task(serve(app, settings, runtime.stopping, port.set_result))
        address, headers = f"http://127.0.0.1:{await port}", {"authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(base_url=address, headers=headers) as http:
            yield Ingest(http, runtime, outside)
        runtime.stopping.set()
        await serving
    await registry.close()
    await log.close()
    for stream in names.all_streams():
        await request(outside, f"$JS.API.STREAM.DELETE.{stream}")
    await own.close()
    await outside.close()
