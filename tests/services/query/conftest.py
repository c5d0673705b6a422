"""The query service for tests: on SQLite and on PostgreSQL, with a real log and real HTTP."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from penstock.jetstream.server import EmbeddedServer
from penstock.service.settings import Settings
from penstock.wire.names import Names
from postgres import NoPostgres, running_postgres
from services_query_api import Api, open_api
from services_query_view import OpenView


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server."""
    try:
        with running_postgres() as url:
            yield url
    except NoPostgres as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """Both databases, one after the other; empty is SQLite in the data directory."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


@pytest.fixture
def names() -> Names:
    """An environment that no other test's view shares."""
    return Names(f"v-{uuid.uuid4().hex[:12]}")


@pytest.fixture
async def view(database_url: str, names: Names, tmp_path: Path) -> AsyncIterator[OpenView]:
    """An empty view."""
    async with OpenView(Settings(data_dir=str(tmp_path), database_url=database_url), names) as view:
        yield view


@pytest.fixture
async def api(nats_server: EmbeddedServer, environment: Names, database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The running service on an empty log."""
    async with AsyncExitStack() as stack:
        yield await open_api(stack, nats_server, environment, tmp_path, database_url)


@pytest.fixture
async def sqlite_api(nats_server: EmbeddedServer, environment: Names, tmp_path: Path) -> AsyncIterator[Api]:
    """The same on SQLite only, for reads that are answered from the log."""
    async with AsyncExitStack() as stack:
        yield await open_api(stack, nats_server, environment, tmp_path, "")
