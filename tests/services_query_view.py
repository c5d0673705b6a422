"""A view without a service around it, for tests of the projector."""

from contextlib import AsyncExitStack
from typing import Any

from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_query.database import create_schema, open_engine, schema_of, view_url
from penstock_query.project import Projection
from penstock_query.reads import Reads
from penstock_query.store import Store


class OpenView:
    """A view without a service around it."""

    def __init__(self, settings: Settings, names: Names) -> None:
        self.settings = settings
        self.names = names
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "OpenView":
        url, schema = view_url(self.settings, self.names), schema_of(self.names)
        await create_schema(url, schema)
        self.writer = open_engine(url, schema, writer=True)
        self.reader = open_engine(url, schema, writer=False)
        self._stack.push_async_callback(self.reader.dispose)
        self.store = Store(self.writer, self.names.executions)
        self._stack.push_async_callback(self.store.close)
        self.reads = Reads(self.reader)
        await self.store.prepare()
        self.projection = Projection(self.store, self.names, await self.store.take_over())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def rows(self, *tables: str) -> dict[str, list[Any]]:
        """All rows of these tables."""
        async with self.reader.connect() as connection:
            return {
                table: sorted(map(tuple, (await connection.exec_driver_sql(f"SELECT * FROM {table}")).all()))
                for table in tables
            }
