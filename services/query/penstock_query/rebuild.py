"""Building the view anew beside the live one, comparing the two row by row, and putting the new one in place.

The log is read up to where the live view stands; then the live view is held still in one transaction, the rest is read,
and every row is compared. A difference means that one of the two was not made by this program from this log.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import msgspec
from sqlalchemy import Table, func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from penstock.domain.errors import Rejected
from penstock.ports import LogEntry
from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_query import tables as t
from penstock_query.database import create_schema, is_sqlite, open_engine, schema_of, view_url
from penstock_query.project import Projection
from penstock_query.store import Store

CHUNK_ROWS = 1000
DIFFERENCES_SHOWN_MAX = 1000
SUFFIX = "_rebuilt"

Advance = Callable[[int, int], None]


class Followable(Protocol):
    """The log as a rebuild needs it."""

    def follow(self, after: int) -> AsyncIterator[list[LogEntry]]: ...

    async def last_sequence(self) -> int: ...


class Difference(msgspec.Struct, frozen=True):
    """A row that is not the same in both views: `missing` or `extra` in the live one, or `different`."""

    table: str
    key: list[Any]
    kind: str


class TableReport(msgspec.Struct, frozen=True):
    """Rows of one table in both views."""

    live: int
    rebuilt: int
    differing: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a rebuild. `differences` names the first thousand; `differing` counts all."""

    sequence: int
    equal: bool
    tables: dict[str, TableReport]
    differing: int
    differences: list[Difference]
    gaps: list[tuple[int, int]]
    quarantined: int
    switched: bool


async def rebuild(
    log: Followable, settings: Settings, names: Names, progress: Advance | None = None, switch: bool = False
) -> Report:
    """Rebuild the view and compare; `progress` is told (done, total). With `switch` the rebuilt view takes the place.

    The live projector may go on all the while; after a switch it takes the new view over by itself.
    Raises Rejected `wrong_state` when the view stands beyond the end of the log and `switch` is not set.
    """
    advance = progress or (lambda _done, _total: None)
    live_url, schema = view_url(settings, names), schema_of(names)
    await create_schema(live_url, schema)
    async with AsyncExitStack() as stack:
        live = open_engine(live_url, schema, writer=True)
        live_store = Store(live, names.executions)
        stack.push_async_callback(live_store.close)
        await live_store.prepare()
        beside = _Beside(live_url, schema)
        await beside.clear()
        stack.push_async_callback(beside.clear)
        engine = open_engine(beside.url, beside.schema, writer=True)
        await create_schema(beside.url, beside.schema)
        store = Store(engine, names.executions)
        stack.push_async_callback(store.close)
        projection = Projection(store, names, await store.prepare())

        end = await log.last_sequence()
        stands = (await live_store.position()).sequence
        if stands > end and not switch:
            raise Rejected(
                "wrong_state",
                f"The view stands at {stands}, but the log ends at {end}: they cannot be compared. "
                "`penstock rebuild --switch` puts a view of this log in its place.",
            )
        # Most of the work is done before the live view is held still: a long snapshot would let its files grow.
        await _project(log, projection, min(stands, end), advance)
        reader = open_engine(live_url, schema, writer=False)
        stack.push_async_callback(reader.dispose)
        async with reader.connect() as still:
            stands = int(await still.scalar(select(t.position.c.sequence)) or 0)
            await _project(log, projection, min(stands, await log.last_sequence()), advance)
            async with engine.connect() as rebuilt:
                reports, differences = await _compare(still, rebuilt)
        compared = projection.position.sequence
        if switch:
            await _project(log, projection, await log.last_sequence(), advance)
            await beside.put_in_place()
        differing = sum(report.differing for report in reports.values())
        return Report(
            sequence=compared,
            equal=differing == 0,
            tables=reports,
            differing=differing,
            differences=differences,
            gaps=await store.gaps(),
            quarantined=await store.quarantined(),
            switched=switch,
        )


async def _project(log: Followable, projection: Projection, target: int, advance: Advance) -> None:
    """Project up to `target` and no further."""
    if projection.position.sequence >= target:
        return
    source = log.follow(projection.position.sequence)
    try:
        async for entries in source:
            await projection.apply([entry for entry in entries if entry.sequence <= target])
            # The last entries before the target may have been purged: what comes after it says so too.
            done = entries[-1].sequence >= target
            advance(target if done else projection.position.sequence, target)
            if done:
                return
    finally:
        await source.aclose()  # type: ignore[attr-defined]


async def _compare(live: AsyncConnection, rebuilt: AsyncConnection) -> tuple[dict[str, TableReport], list[Difference]]:
    reports: dict[str, TableReport] = {}
    shown: list[Difference] = []
    for table in t.DERIVED:
        counts = [int(await each.scalar(select(func.count()).select_from(table)) or 0) for each in (live, rebuilt)]
        differing = 0
        async for difference in _differences(table, live, rebuilt):
            differing += 1
            if len(shown) < DIFFERENCES_SHOWN_MAX:
                shown.append(difference)
        reports[table.name] = TableReport(counts[0], counts[1], differing)
    return reports, shown


async def _differences(table: Table, live: AsyncConnection, rebuilt: AsyncConnection) -> AsyncIterator[Difference]:
    """Both tables side by side in the order of their keys, as in a merge."""
    width = len(table.primary_key.columns)
    left, right = _rows(table, live), _rows(table, rebuilt)
    a, b = await anext(left, None), await anext(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None
            yield Difference(table.name, list(a[0][:width]), "extra")
            a = await anext(left, None)
        elif a is None or b[0] < a[0]:
            yield Difference(table.name, list(b[0][:width]), "missing")
            b = await anext(right, None)
        else:
            if a[1] != b[1]:
                yield Difference(table.name, list(a[0][:width]), "different")
            a, b = await anext(left, None), await anext(right, None)


async def _rows(table: Table, connection: AsyncConnection) -> AsyncIterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """(key, row) in the order of bytes, which both databases and Python share."""
    keys = list(table.primary_key.columns)
    on_postgres = connection.dialect.name == "postgresql"
    order = [key.collate("C") if on_postgres and key.type.python_type is str else key for key in keys]
    offset: tuple[Any, ...] | None = None
    while True:
        query = select(*keys, *table.columns).order_by(*order).limit(CHUNK_ROWS)
        if offset is not None:
            query = query.where(_beyond(order, offset))
        rows = (await connection.execute(query)).all()
        for row in rows:
            yield tuple(row[: len(keys)]), tuple(row[len(keys) :])
        if len(rows) < CHUNK_ROWS:
            return
        offset = tuple(rows[-1][: len(keys)])


def _beyond(order: list[Any], offset: tuple[Any, ...]) -> Any:
    """`(a, b) > (x, y)`, written out so that both databases take it."""
    column, value = order[0], offset[0]
    if len(order) == 1:
        return column > value
    return (column > value) | ((column == value) & _beyond(order[1:], offset[1:]))


class _Beside:
    """Where the rebuilt view lives: a second file, or a second schema."""

    def __init__(self, live: URL, schema: str) -> None:
        self._live = live
        self._live_schema = schema
        self.schema = schema + SUFFIX
        self.url = live
        if is_sqlite(live):
            assert live.database is not None
            path = Path(live.database)
            self.url = live.set(database=str(path.with_name(path.stem + SUFFIX + path.suffix)))

    async def clear(self) -> None:
        """Remove what is there."""
        if is_sqlite(self.url):
            assert self.url.database is not None
            for ending in ("", "-wal", "-shm"):
                await asyncio.to_thread(Path(self.url.database + ending).unlink, missing_ok=True)
            return
        engine = create_async_engine(self.url)
        async with engine.begin() as connection:
            await connection.execute(text(f'DROP SCHEMA IF EXISTS "{self.schema}" CASCADE'))
        await engine.dispose()

    async def put_in_place(self) -> None:
        """Copy the rebuilt rows over the live ones in one transaction; the raised epoch fences the live projector."""
        engine = open_engine(self._live, self._live_schema, writer=True)
        other = f'"{self.schema}"' if not is_sqlite(self.url) else "rebuilt"
        try:
            async with engine.connect() as connection:
                if is_sqlite(self.url):
                    raw = (await connection.get_raw_connection()).driver_connection
                    assert raw is not None
                    await raw.execute("ATTACH DATABASE ? AS rebuilt", (self.url.database,))
                async with connection.begin():
                    # First of all, as every projector does: two that lock in another order could wait for each other.
                    await connection.execute(t.position.update().values(epoch=t.position.c.epoch + 1))
                    epoch = await connection.scalar(select(t.position.c.epoch))
                    for table in (*t.DERIVED, t.position):
                        columns = ", ".join(f'"{column.name}"' for column in table.columns)
                        copy = f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {other}.{table.name}"  # noqa: S608
                        await connection.execute(table.delete())
                        await connection.execute(text(copy))
                    # What is still missing is told in the report; switching accepts it.
                    await connection.execute(t.gaps.delete())
                    await connection.execute(t.position.update().values(epoch=epoch))
        finally:
            await engine.dispose()
