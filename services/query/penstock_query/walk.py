"""The walk along the list of executions that finds a page of what fits some filters.

Any filters may meet, and no index serves all of them. So each is looked at by itself first: one that leaves few rows
is where the query begins. Where none does, rows that fit are many, and the list is walked until the page is full,
within what lies between the first and the last row of each filter.
"""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.domain.execution.state import Execution
from penstock_query import tables as t
from penstock_query.conditions import Condition, Time
from penstock_query.cursors import Stretch
from penstock_query.fold import Known

FEW = 5000
"""Rows that are quickly looked at one by one."""

AT_ONCE = 500
"""Rows that are looked at together."""

_execution = msgspec.json.Decoder(Execution).decode


async def walk(connection: AsyncConnection, conditions: Sequence[Condition], stretch: Stretch) -> list[Known]:
    """Executions that fit all conditions, in the order of the walk, one more than the page takes."""
    key = t.executions.c.created_sequence
    for condition in conditions:
        few = await _at_most(connection, condition.keys)
        if few is not None:
            return await _picked(connection, conditions, few, stretch)
    for condition in conditions:
        stretch = await _between_ends(connection, condition.runs, stretch)
        if condition.time is not None:
            stretch = await _within_time(connection, condition, condition.time, stretch)
    # One bound for each side: of several SQLite takes any, and walks to the others.
    within: list[ColumnElement[bool]] = []
    if stretch.after is not None:
        within.append(key < stretch.after)
    if stretch.before is not None:
        within.append(key > stretch.before)
    return await _rows(connection, conditions, within, stretch)


async def _picked(
    connection: AsyncConnection, conditions: Sequence[Condition], few: Iterable[int], stretch: Stretch
) -> list[Known]:
    """Those of few rows that fit; most pages are full after the first look."""
    keys = sorted((each for each in few if stretch.holds(each)), reverse=not stretch.from_end)
    found: list[Known] = []
    for begin in range(0, len(keys), AT_ONCE):
        within = [t.executions.c.created_sequence.in_(keys[begin : begin + AT_ONCE])]
        found += await _rows(connection, conditions, within, stretch)
        if len(found) > stretch.size:
            break
    return found[: stretch.size + 1]


async def _rows(
    connection: AsyncConnection,
    conditions: Sequence[Condition],
    within: Iterable[ColumnElement[bool]],
    stretch: Stretch,
) -> list[Known]:
    key = t.executions.c.created_sequence
    query = select(key, t.executions.c.body).where(*within, *(each.exactly for each in conditions))
    query = query.order_by(key.asc() if stretch.from_end else key.desc()).limit(stretch.size + 1)
    return [Known(row[0], _execution(row[1])) for row in await connection.execute(query)]


async def _at_most(connection: AsyncConnection, keys: Select[int]) -> list[int] | None:
    """All of the keys; None if they are many."""
    rows = (await connection.execute(keys.limit(FEW + 1))).all()
    return [row[0] for row in rows] if len(rows) <= FEW else None


async def _between_ends(connection: AsyncConnection, runs: Sequence[Select[int]], stretch: Stretch) -> Stretch:
    """Where rows that fit lie close together, the others are not walked past."""
    if not runs:
        return stretch
    lows = [select(func.min(run.subquery().c[0])).scalar_subquery() for run in runs]
    highs = [select(func.max(run.subquery().c[0])).scalar_subquery() for run in runs]
    ends = [end for end in (await connection.execute(select(*lows, *highs))).one() if end is not None]
    return stretch.within(min(ends), max(ends))


async def _within_time(connection: AsyncConnection, condition: Condition, time: Time, stretch: Stretch) -> Stretch:
    """A walk to a time that lies far away begins there, and ends there."""
    if not await _is_far(connection, time):
        return stretch
    # Plus nothing: else SQLite looks for them along the keys and not in the interval.
    found = condition.keys.subquery().c[0] + 0
    lowest, highest = (await connection.execute(select(func.min(found), func.max(found)))).one()
    return stretch.within(lowest, highest)


async def _is_far(connection: AsyncConnection, time: Time) -> bool:
    """Whether many rows lie on a side of the interval."""
    start, end = time.interval
    key, outside = t.executions.c.created_sequence, []
    if start is not None:
        outside.append(time.column < start)
    if end is not None:
        outside.append(time.column > end)
    for side in outside:
        if await _at_most(connection, select(key).where(side)) is None:
            return True
    return False
