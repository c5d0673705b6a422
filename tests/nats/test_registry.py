"""The registry: facts in the log, a cache in a bucket, look-ups in memory."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from eventually import eventually
from penstock.domain.function.options import FunctionSpec
from penstock.domain.system import FunctionDeclared
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.registry import KIND, FunctionRegistry
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Unavailable
from penstock.wire.codec import decode_system_fact
from penstock.wire.names import Names


@pytest.fixture
async def registry(connection: Connection, environment: Names, log: JetStreamLog) -> AsyncIterator[FunctionRegistry]:
    """As a service has it."""
    registry = FunctionRegistry(connection, environment, log)
    await registry.open()
    yield registry
    await registry.close()


async def another(connection: Connection, names: Names, log: JetStreamLog) -> FunctionRegistry:
    """That of another process."""
    registry = FunctionRegistry(connection, names, log)
    await registry.open()
    return registry


async def declarations(log: JetStreamLog, names: Names) -> list[FunctionDeclared]:
    stored = await log.reader.subject(names.executions, names.system_subject(KIND, "*"))
    facts = [decode_system_fact(message.data) for message in stored]
    return [fact for fact in facts if isinstance(fact, FunctionDeclared)]


async def test_a_declaration_is_a_fact_in_the_log(
    registry: FunctionRegistry, log: JetStreamLog, environment: Names
) -> None:
    """With the runner that made it."""
    spec = FunctionSpec(name="add", concurrency=3)
    await registry.declare(spec, "r1")
    assert [(fact.spec, fact.runner) for fact in await declarations(log, environment)] == [(spec, "r1")]


async def test_an_unchanged_function_is_declared_once(
    registry: FunctionRegistry, log: JetStreamLog, environment: Names
) -> None:
    """Ten runners that start leave one fact, not ten."""
    for runner in range(10):
        await registry.declare(FunctionSpec(name="add"), f"r{runner}")
    await registry.declare(FunctionSpec(name="add", timeout=5.0), "r1")
    assert len(await declarations(log, environment)) == 2


async def test_runners_that_declare_at_once_leave_one_fact(
    connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """The first wins; the others see that nothing is left to say."""
    registries = [FunctionRegistry(connection, environment, log) for _ in range(5)]
    await asyncio.gather(*(each.declare(FunctionSpec(name="add"), "r") for each in registries))
    assert len(await declarations(log, environment)) == 1


async def test_all_processes_know_it_within_a_second(
    registry: FunctionRegistry, connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """Ingest accepts calls of a function that a runner has just declared."""
    reader = await another(connection, environment, log)
    before = time.monotonic()
    waiting = asyncio.create_task(reader.wait_for("add", 5))
    await registry.declare(FunctionSpec(name="add"), "r1")
    assert await waiting == FunctionSpec(name="add")
    assert time.monotonic() - before < 1
    assert reader.get("add") == FunctionSpec(name="add")
    await reader.close()


async def test_who_starts_later_knows_it_too(
    registry: FunctionRegistry, connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """In its newest form, in order of the names."""
    await registry.declare(FunctionSpec(name="b"), "r1")
    await registry.declare(FunctionSpec(name="a"), "r1")
    await registry.declare(FunctionSpec(name="b", version="2"), "r1")
    reader = await another(connection, environment, log)
    assert [(spec.name, spec.version) for spec in reader.all()] == [("a", ""), ("b", "2")]
    await reader.close()


async def test_an_empty_bucket_is_rebuilt_from_the_log(
    registry: FunctionRegistry, connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """The bucket is a cache, the log is the truth."""
    await registry.declare(FunctionSpec(name="add"), "r1")
    await registry.declare(FunctionSpec(name="add", version="2"), "r1")
    await connection.js.purge_stream(environment.registry_stream)
    reader = await another(connection, environment, log)
    assert [spec.version for spec in reader.all()] == ["2"]
    await reader.declare(FunctionSpec(name="add", version="2"), "r2")
    assert len(await log.reader.subject(environment.registry_stream, environment.registry_subject("*"))) == 1
    assert len(await declarations(log, environment)) == 2
    await reader.close()


async def test_a_value_that_cannot_be_read_does_not_hide_the_others(
    registry: FunctionRegistry, connection: Connection, environment: Names, log: JetStreamLog
) -> None:
    """Somebody may have written into the bucket by hand."""
    await connection.js.publish(environment.registry_subject("bad"), b"not json")
    await registry.declare(FunctionSpec(name="good"), "r1")
    reader = await another(connection, environment, log)
    assert [spec.name for spec in reader.all()] == ["good"]
    await reader.close()


async def test_names_that_are_near_are_found(registry: FunctionRegistry) -> None:
    """For the hint in the answer to a mistyped name."""
    for name in ("send_invoice", "send_reminder", "thumbnail", "Resize"):
        await registry.declare(FunctionSpec(name=name), "r1")
    assert registry.near("send_invoce")[0] == "send_invoice"
    assert registry.near("resize") == ["Resize"]
    assert registry.near("zzz") == []


async def test_waiting_for_what_nobody_declares_ends(registry: FunctionRegistry) -> None:
    """With nothing, after the time that was given."""
    assert await registry.wait_for("nobody", 0.05) is None


async def test_declarations_arrive_after_a_restart_of_the_server(own_server: EmbeddedServer) -> None:
    """A reader does not stay behind for ever because its connection broke once."""
    names = Names()
    connection = Connection("test")
    await connection.open(own_server.url)
    await provision(connection, names)
    log = JetStreamLog(connection, names)
    reader, writer = await another(connection, names, log), FunctionRegistry(connection, names, log)
    await writer.declare(FunctionSpec(name="before"), "r1")
    assert await reader.wait_for("before", 5)
    await own_server.stop()
    await own_server.start()
    await eventually(lambda: _is_declared(writer, FunctionSpec(name="after")))
    assert await reader.wait_for("after", 10)
    await reader.close()
    await connection.close()


async def _is_declared(registry: FunctionRegistry, spec: FunctionSpec) -> bool:
    try:
        await registry.declare(spec, "r1")
    except Unavailable:
        return False
    return True
