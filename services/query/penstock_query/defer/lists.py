"""Defer's list of executions, read from the view.

Any filters may meet, and no index serves all of them. So each is looked at by itself first: one that leaves few rows
is where the query begins. Where none does, rows that fit are many, and the list is walked until the page is full.
"""

import msgspec
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penstock.domain.execution.state import Execution
from penstock_query import tables as t
from penstock_query.defer.conditions import Condition, Keys, conditions_of
from penstock_query.defer.paging import Stretch
from penstock_query.defer.requests import Wanted
from penstock_query.fold import Known

FEW = 5000
"""Rows that are quickly looked at one by one."""

Walk = Select[int, str]

_execution = msgspec.json.Decoder(Execution).decode


class Lists:
    """Reads lists from one view."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def executions(self, wanted: Wanted, stretch: Stretch) -> list[Known]:
        """Executions that fit all filters, in the order of the walk, one more than the page takes."""
        conditions = conditions_of(wanted)
        async with self._engine.connect() as connection:
            few = await _few(connection, conditions)
            query = _walk(conditions, stretch)
            if few is not None:
                query = query.where(t.executions.c.created_sequence.in_(few))
            else:
                query = await _nearer(connection, conditions, stretch, query)
            rows = (await connection.execute(query)).all() if few != [] else []
        return [Known(row[0], _execution(row[1])) for row in rows]


def _walk(conditions: list[Condition], stretch: Stretch) -> Walk:
    """Position and body of what a page needs."""
    c = t.executions.c
    key = c.created_sequence
    query = select(key, c.body).where(*(each.exactly for each in conditions))
    if stretch.after is not None:
        query = query.where(key < stretch.after)
    if stretch.before is not None:
        query = query.where(key > stretch.before)
    return query.order_by(key.asc() if stretch.from_end else key.desc()).limit(stretch.size + 1)


async def _few(connection: AsyncConnection, conditions: list[Condition]) -> list[int] | None:
    """The keys of all rows that fit some filter, if they are few; None where they are many for each."""
    for condition in conditions:
        found = await _at_most(connection, condition.keys)
        if found is not None:
            return found
    return None


async def _at_most(connection: AsyncConnection, keys: Keys) -> list[int] | None:
    rows = (await connection.execute(keys.limit(FEW + 1))).all()
    return [row[0] for row in rows] if len(rows) <= FEW else None


async def _nearer(connection: AsyncConnection, conditions: list[Condition], stretch: Stretch, query: Walk) -> Walk:
    """A walk to a time that lies far from its beginning begins at the first row of that time."""
    key = t.executions.c.created_sequence
    for condition in conditions:
        if condition.time is None:
            continue
        column, interval = condition.time
        edge = interval.start if stretch.from_end else interval.end
        if edge is None:
            continue
        beyond = select(key).where(column < edge if stretch.from_end else column > edge)
        if await _at_most(connection, beyond) is None:
            # Plus nothing: else SQLite looks for it along the keys and not in the interval.
            keys = condition.keys.subquery().c[0] + 0
            nearest = await connection.scalar(select(func.min(keys) if stretch.from_end else func.max(keys)))
            query = query.where(key >= nearest if stretch.from_end else key <= nearest)
    return query
