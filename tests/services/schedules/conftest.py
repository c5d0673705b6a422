"""Ingest on a real nats-server, with nothing scheduled yet."""

from collections.abc import AsyncIterator

import pytest

from penstock.jetstream.server import EmbeddedServer
from running_ingest import running_ingest
from running_schedules import Stage


@pytest.fixture
async def stage(nats_server: EmbeddedServer) -> AsyncIterator[Stage]:
    """An environment of the test's own."""
    async with running_ingest(nats_server.url) as ingest:
        yield Stage(ingest, nats_server.url)
