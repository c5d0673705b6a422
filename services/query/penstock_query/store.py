"""Writing the view: rows and position in one transaction, by statements that are compiled once."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penstock.ports import LogEntry
from penstock_query import tables as t
from penstock_query.fold import Changes, Known, rehydrated


class Fenced(Exception):  # noqa: N818
    """Another projector has taken over: this one must not write."""


class Position(NamedTuple):
    """How far the view is, of which log, and who may write."""

    sequence: int
    epoch: int
    stream: str
    digest: str


def digest_of(entry: LogEntry) -> str:
    """A fingerprint of one entry: a log that was made anew has another at the same position."""
    return hashlib.blake2b(entry.subject.encode() + b"\0" + entry.data, digest_size=16).hexdigest()


class Statements:
    """The upserts as SQL text of one dialect. Rows are tuples in the order of the tables' columns."""

    def __init__(self, dialect: Dialect) -> None:
        on_sqlite = dialect.name == "sqlite"
        insert: Any = sqlite.insert if on_sqlite else postgresql.insert

        def upsert(table: Table, key: str, columns: Sequence[str]) -> str:
            statement = insert(table)
            if columns:
                values = {name: statement.excluded[name] for name in columns}
                statement = statement.on_conflict_do_update(index_elements=[key], set_=values)
            else:
                statement = statement.on_conflict_do_nothing()
            return str(statement.compile(dialect=dialect, column_keys=[each.name for each in table.columns]))

        moving = ["state", "sequence", "scheduled_at", "started_at", "finished_at", "body"]
        self.execution = upsert(t.executions, "id", moving)
        self.metadata = upsert(t.execution_metadata, "", [])
        # The first fact about an event stands; a repeated fan-out says the same again.
        self.event = upsert(t.events, "", [])
        self.function = upsert(t.functions, "name", ["sequence", "body"])
        self.quarantine = upsert(t.quarantine, "", [])
        self.load = (
            "SELECT created_sequence, body FROM executions WHERE id IN (SELECT value FROM json_each(?))"
            if on_sqlite
            else "SELECT created_sequence, body FROM executions WHERE id IN "
            "(SELECT json_array_elements_text(CAST($1::VARCHAR AS json)))"
        )
        self.advance = (
            "UPDATE position SET sequence = ?, digest = ? WHERE epoch = ? AND sequence <= ?"
            if on_sqlite
            else "UPDATE position SET sequence = $1::BIGINT, digest = $2::VARCHAR "
            "WHERE epoch = $3::BIGINT AND sequence <= $4::BIGINT"
        )


class Store:
    """The writing side of one view."""

    def __init__(self, engine: AsyncEngine, stream: str) -> None:
        self.engine = engine
        self.stream = stream
        self._sql = Statements(engine.dialect)

    async def prepare(self) -> Position:
        """Create the tables where they are missing, anew where they have an older shape. Answers with the position."""
        async with self.engine.begin() as connection:
            await connection.run_sync(t.position.metadata.create_all, tables=[t.position], checkfirst=True)
            version = await connection.scalar(select(t.position.c.schema_version))
            if version is not None and version != t.SCHEMA_VERSION:
                await connection.run_sync(t.metadata.drop_all)
                version = None
            await connection.run_sync(t.metadata.create_all)
            if version is None:
                await connection.execute(
                    t.position.insert().values(
                        only=1, schema_version=t.SCHEMA_VERSION, sequence=0, epoch=0, stream=self.stream, digest=""
                    )
                )
            return await self._position(connection)

    async def position(self) -> Position:
        async with self.engine.begin() as connection:
            return await self._position(connection)

    async def take_over(self) -> Position:
        """Raise the epoch: whoever wrote before is fenced from now on."""
        async with self.engine.begin() as connection:
            await connection.execute(t.position.update().values(epoch=t.position.c.epoch + 1))
            return await self._position(connection)

    async def load(self, ids: Iterable[str]) -> dict[str, Known]:
        """The executions with these ids that have a row."""
        async with self.engine.connect() as connection:
            wanted = msgspec.json.encode(list(ids)).decode()
            rows: Any = await connection.exec_driver_sql(self._sql.load, (wanted,))
            return rehydrated((row[0], row[1]) for row in rows)

    async def write(self, changes: Changes, last: LogEntry, epoch: int, missing: list[tuple[int, int]]) -> None:
        """Rows and position together. Raises Fenced, and then nothing is written."""
        sql = self._sql
        work = [
            (sql.execution, changes.executions),
            (sql.metadata, changes.metadata),
            (sql.event, changes.events),
            (sql.function, changes.functions),
            (sql.quarantine, changes.quarantine),
        ]
        async with self.engine.begin() as connection:
            result = await connection.exec_driver_sql(
                sql.advance, (last.sequence, digest_of(last), epoch, last.sequence)
            )
            if result.rowcount != 1:
                raise Fenced
            for statement, rows in work:
                if rows:
                    await connection.exec_driver_sql(statement, rows)
            if missing:
                await connection.execute(t.gaps.insert(), [{"first": a, "last": b} for a, b in missing])

    async def gaps(self) -> list[tuple[int, int]]:
        async with self.engine.begin() as connection:
            rows = await connection.execute(select(t.gaps.c.first, t.gaps.c.last).order_by(t.gaps.c.first))
            return [(row[0], row[1]) for row in rows]

    async def quarantined(self) -> int:
        async with self.engine.begin() as connection:
            return int(await connection.scalar(select(func.count()).select_from(t.quarantine)) or 0)

    async def _position(self, connection: AsyncConnection) -> Position:
        columns = t.position.c
        row = (await connection.execute(select(columns.sequence, columns.epoch, columns.stream, columns.digest))).one()
        return Position(*row)
