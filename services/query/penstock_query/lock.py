"""One projector per view: a lock that the operating system or PostgreSQL releases when its holder dies."""

import sqlite3
from pathlib import Path
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from penstock_query.database import is_sqlite


class Lock(Protocol):
    """Held by at most one process. It keeps projectors apart; a late writer is fenced by the epoch in the view."""

    async def take(self) -> bool:
        """True if it is ours now."""

    async def release(self) -> None: ...


class FileLock:
    """An exclusive transaction on a database file of its own: gone with the process, whatever ends it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def take(self) -> bool:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            connection.close()
            return False
        self._connection = connection
        return True

    async def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class AdvisoryLock:
    """A session lock of PostgreSQL: gone with its connection."""

    def __init__(self, url: URL, name: str) -> None:
        self._url = url
        self._name = name
        self._engine: AsyncEngine | None = None
        self._connection: AsyncConnection | None = None

    async def take(self) -> bool:
        engine = create_async_engine(self._url, pool_size=1, isolation_level="AUTOCOMMIT")
        connection = await engine.connect()
        taken = await connection.scalar(text("SELECT pg_try_advisory_lock(hashtext(:name))"), {"name": self._name})
        if not taken:
            await connection.close()
            await engine.dispose()
            return False
        self._engine, self._connection = engine, connection
        return True

    async def release(self) -> None:
        if self._connection is not None and self._engine is not None:
            await self._connection.close()
            await self._engine.dispose()
            self._engine = self._connection = None


def projector_lock(url: URL, schema: str) -> Lock:
    """The lock that belongs to a view."""
    if is_sqlite(url):
        assert url.database is not None
        return FileLock(Path(url.database).with_suffix(".lock"))
    return AdvisoryLock(url, f"{schema}/projector")
