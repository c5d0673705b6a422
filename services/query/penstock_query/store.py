"""Writing the view: rows and position in one transaction, by statements that are compiled once."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Table, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penstock.domain.notify.delivery import Delivery
from penstock.domain.schedule.state import Schedule
from penstock.ports import LogEntry
from penstock_query import tables as t
from penstock_query.database import is_sqlite
from penstock_query.fold import Changes, Known, rehydrated
from penstock_query.notifications import decode_delivery, delivery_key
from penstock_query.schedules import decode_schedule
from penstock_query.sqlite_writer import SqliteWriter, Work


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

        def upsert(table: Table, key: str | Sequence[str], columns: Sequence[str]) -> str:
            statement = insert(table)
            if columns:
                values = {name: statement.excluded[name] for name in columns}
                keys = [key] if isinstance(key, str) else list(key)
                statement = statement.on_conflict_do_update(index_elements=keys, set_=values)
            else:
                statement = statement.on_conflict_do_nothing()
            return str(statement.compile(dialect=dialect, column_keys=[each.name for each in table.columns]))

        moving = [*("state", "sequence", "scheduled_at", "due_at", "started_at", "finished_at", "error_code", "body")]
        # Only a row that is new needs the look at all keys that an upsert takes.
        self.created = upsert(t.executions, "id", moving)
        setters = {name: bindparam(f"new_{name}", type_=t.executions.c[name].type) for name in moving}
        key = t.executions.c.created_sequence == bindparam("key", type_=t.executions.c.created_sequence.type)
        self.moved = str(t.executions.update().values(setters).where(key).compile(dialect=dialect))
        self.metadata = upsert(t.execution_metadata, "", [])
        # The first fact about an event stands; a repeated fan-out says the same again.
        self.event = upsert(t.events, "", [])
        self.function = upsert(t.functions, "name", ["sequence", "body"])
        self.schedule = upsert(t.schedules, "key", ["live", "sequence", "body"])
        # A kept or skipped tick may be made up for later: the last word counts.
        self.tick = upsert(t.ticks, ("schedule", "tick"), ["decided_at", "sequence", "body"])
        self.notification = upsert(t.notifications, "key", ["state", "body"])
        self.quarantine = upsert(t.quarantine, "", [])
        self.gap = upsert(t.gaps, "", [])
        self.load = (
            "SELECT created_sequence, body FROM executions WHERE id IN (SELECT value FROM json_each(?))"
            if on_sqlite
            else "SELECT created_sequence, body FROM executions WHERE id IN "
            "(SELECT json_array_elements_text(CAST($1::VARCHAR AS json)))"
        )
        self.load_schedules = (
            "SELECT body FROM schedules WHERE key IN (SELECT value FROM json_each(?))"
            if on_sqlite
            else "SELECT body FROM schedules WHERE key IN (SELECT json_array_elements_text(CAST($1::VARCHAR AS json)))"
        )
        self.load_deliveries = (
            "SELECT body FROM notifications WHERE key IN (SELECT value FROM json_each(?))"
            if on_sqlite
            else "SELECT body FROM notifications WHERE key IN "
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
        path = engine.url.database if is_sqlite(engine.url) else None
        self._sqlite = SqliteWriter(path) if path is not None else None

    async def close(self) -> None:
        """Close the connections."""
        if self._sqlite is not None:
            await self._sqlite.close()
        await self.engine.dispose()

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
        return rehydrated((row[0], row[1]) for row in await self._load(self._sql.load, ids))

    async def load_schedules(self, keys: Iterable[str]) -> dict[str, Schedule]:
        """The schedules with these keys that have a row, deleted ones included."""
        found = (decode_schedule(row[0]) for row in await self._load(self._sql.load_schedules, keys))
        return {each.key: each for each in found}

    async def load_deliveries(self, keys: Iterable[str]) -> dict[str, Delivery]:
        """The deliveries with these keys that have a row."""
        found = (decode_delivery(row[0]) for row in await self._load(self._sql.load_deliveries, keys))
        return {delivery_key(each.channel, each.notice.id): each for each in found}

    async def _load(self, statement: str, keys: Iterable[str]) -> Any:
        wanted = (msgspec.json.encode(list(keys)).decode(),)
        if self._sqlite is not None:
            return await self._sqlite.load(statement, wanted)
        async with self.engine.connect() as connection:
            rows: Any = await connection.exec_driver_sql(statement, wanted)
            return list(rows)

    async def write(self, changes: Changes, last: LogEntry, epoch: int, missing: list[tuple[int, int]]) -> None:
        """Rows and position together. Raises Fenced, and then nothing is written."""
        sql = self._sql
        tables = [
            (sql.created, changes.created),
            (sql.moved, changes.moved),
            (sql.metadata, changes.metadata),
            (sql.event, changes.events),
            (sql.function, changes.functions),
            (sql.schedule, changes.schedules),
            (sql.tick, changes.ticks),
            (sql.notification, changes.notifications),
            (sql.quarantine, changes.quarantine),
            (sql.gap, missing),
        ]
        work = [(statement, rows) for statement, rows in tables if rows]
        fence = (last.sequence, digest_of(last), epoch, last.sequence)
        written = self._sqlite.write if self._sqlite is not None else self._write
        if not await written(sql.advance, fence, work):
            raise Fenced

    async def _write(self, fence: str, parameters: tuple[Any, ...], work: Work) -> bool:
        async with self.engine.connect() as connection, connection.begin() as transaction:
            result = await connection.exec_driver_sql(fence, parameters)
            if result.rowcount != 1:
                await transaction.rollback()
                return False
            for statement, rows in work:
                await connection.exec_driver_sql(statement, list(rows))
        return True

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
