"""The examples of the AsyncAPI document are taken by a running service."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from penstock.jetstream.server import EmbeddedServer
from penstock.service.asyncapi_examples import CALLS, EVENTS, Example
from penstock.wire import names as wire
from running_ingest import Ingest, running_ingest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(nats_server: EmbeddedServer) -> AsyncIterator[Ingest]:
    async with running_ingest(nats_server.url) as service:
        yield service


@pytest.mark.parametrize("example", [each for found in EVENTS.values() for each in found], ids=lambda each: each.name)
async def test_an_event_starts_its_functions(shared: Ingest, example: Example) -> None:
    """Both that subscribe to it, one of them by its data."""
    subject = shared.names.event_subject(example.subject)
    position = await shared.publish(subject, msgspec.json.encode(example.payload), dict(example.headers))
    fact = await shared.fanned_out(position)
    assert {function for function, _ in fact.executions} == {"welcome", "audit"}
    assert fact.refused == []


@pytest.mark.parametrize("example", CALLS["call"], ids=lambda each: each.name)
async def test_a_call_makes_its_execution(shared: Ingest, example: Example) -> None:
    """Under the chosen id, if there is one."""
    subject = shared.names.invoke_subject(example.subject)
    position = await shared.publish(subject, msgspec.json.encode(example.payload), dict(example.headers))
    ((function, execution),) = (await shared.fanned_out(position)).executions
    assert function == example.subject
    assert execution == example.headers.get(wire.EXECUTION_ID, execution)
