"""The projector's own way into SQLite: a whole transaction in one call of one thread.

Through the asynchronous driver each statement is a journey to its thread and back; for a small batch that costs more
than the work itself.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

Work = Sequence[tuple[str, Sequence[tuple[Any, ...]]]]

BUSY_SECONDS = 10.0
CHECKPOINT_PAGES = 4000


class SqliteWriter:
    """One connection in one thread of its own."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="view-writer")
        self._connection: sqlite3.Connection | None = None

    async def load(self, statement: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The rows of one query."""
        return await self._run(lambda connection: connection.execute(statement, parameters).fetchall())

    async def write(self, fence: str, parameters: tuple[Any, ...], work: Work) -> bool:
        """All of it in one transaction, or nothing; False if `fence` changed no row."""

        def transaction(connection: sqlite3.Connection) -> bool:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if connection.execute(fence, parameters).rowcount != 1:
                    connection.execute("ROLLBACK")
                    return False
                for statement, rows in work:
                    connection.executemany(statement, rows)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return True

        return await self._run(transaction)

    async def close(self) -> None:
        """Finish what is under way and close."""
        if self._connection is not None:
            await self._run(lambda connection: connection.close())
            self._connection = None
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def in_thread() -> T:
            if self._connection is None:
                self._connection = self._open()
            return work(self._connection)

        return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit lost with the power comes again from the log.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -64000")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        return connection
