"""The ingest service on a real nats-server: one for each test, or one for all tests of a module that share nothing."""

from collections.abc import AsyncIterator

import pytest

from penstock.jetstream.server import EmbeddedServer
from running_ingest import Ingest, running_ingest


@pytest.fixture
async def ingest(nats_server: EmbeddedServer) -> AsyncIterator[Ingest]:
    """A service of the test's own."""
    async with running_ingest(nats_server.url) as service:
        yield service
