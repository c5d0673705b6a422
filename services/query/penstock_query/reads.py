"""Every read of the view, one function each. Each sees one moment, and answers with the position of that moment."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penstock.domain.execution.state import FINAL_STATES, Execution, State
from penstock.domain.limits import page_items_max
from penstock.domain.notify.delivery import Delivery
from penstock.domain.schedule.facts import LedgerEntry
from penstock.domain.schedule.state import Schedule
from penstock.domain.system import AnySystemFact, EventFannedOut, EventRejected, FunctionDeclared
from penstock_query import tables as t
from penstock_query.conditions import Condition, conditions_of
from penstock_query.cursors import Cursor, Key, Stretch, around
from penstock_query.fold import Known, indexable
from penstock_query.notifications import decode_delivery
from penstock_query.queries import EventFilter, ExecutionFilter, NotificationFilter
from penstock_query.schedules import decode_entry, decode_schedule
from penstock_query.walk import walk

T = TypeVar("T")
R = TypeVar("R", bound=Sequence[Any])

_execution = msgspec.json.Decoder(Execution).decode
_fact = msgspec.json.Decoder(AnySystemFact).decode


class Found(NamedTuple, Generic[T]):
    """Rows of one page in list order, the cursors around them, and the position that they reflect."""

    items: list[T]
    next: Cursor | None
    previous: Cursor | None
    position: int


class EventRow(NamedTuple):
    fact: EventFannedOut | EventRejected
    id: str
    name: str
    state: str
    log_sequence: int


class FunctionRow(NamedTuple):
    fact: FunctionDeclared
    sequence: int


class OpenCount(NamedTuple):
    """`since` is when the one that is queued for longest became so."""

    function: str
    state: State
    number: int
    since: int | None


class TickRow(NamedTuple):
    entry: LedgerEntry
    decided_at: int
    sequence: int


class Reads:
    """The reading side of one view."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def position(self) -> int:
        async with self._engine.connect() as connection:
            return await _position(connection)

    async def executions(self, wanted: ExecutionFilter, limit: int, cursor: Cursor | None) -> Found[Execution]:
        """Executions that fit all filters, newest first."""
        backwards = cursor is not None and cursor.backwards
        key = None if cursor is None else int(cursor.key)
        stretch = Stretch(limit, backwards, None if backwards else key, key if backwards else None)
        async with self._engine.connect() as connection:
            rows = await walk(connection, conditions_of(wanted), stretch)
            position = await _position(connection)
        rows, found = _cut(rows, limit, cursor, position)
        return found._replace(items=[row.state for row in rows])

    async def walk(self, conditions: Sequence[Condition], stretch: Stretch) -> list[Known]:
        """Executions that fit all conditions, in the order of the walk, one more than the page takes."""
        async with self._engine.connect() as connection:
            return await walk(connection, conditions, stretch)

    async def execution(self, execution_id: str) -> tuple[Execution | None, int]:
        """One execution, None if the view does not have it."""
        async with self._engine.connect() as connection:
            body = await connection.scalar(select(t.executions.c.body).where(t.executions.c.id == execution_id))
            position = await _position(connection)
        return (None if body is None else _execution(body)), position

    async def bodies(self, ids: Sequence[str]) -> list[Known]:
        """Those of the executions that the view has."""
        c = t.executions.c
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(c.created_sequence, c.body).where(c.id.in_(ids)))
            return [Known(row[0], _execution(row[1])) for row in rows]

    async def events(self, wanted: EventFilter, limit: int, cursor: Cursor | None) -> Found[EventRow]:
        """Events whose fan-out or rejection is in the log, the latest first."""
        c = t.events.c
        query = select(c.log_sequence, c.body, c.id, c.name, c.state).where(*_event_conditions(wanted))
        rows, found = await self._page(query, c.log_sequence, limit, cursor, newest_first=True)
        return found._replace(items=[_event_row(row) for row in rows])

    async def event(self, event_id: str) -> tuple[EventRow | None, int]:
        """One event; of several published under one id, the first."""
        c = t.events.c
        query = select(c.log_sequence, c.body, c.id, c.name, c.state).order_by(c.log_sequence).limit(1)
        wanted = c.id == indexable(event_id)
        if event_id.startswith("e:") and event_id[2:18].isdigit():
            wanted = c.sequence == int(event_id[2:18])
        async with self._engine.connect() as connection:
            row = (await connection.execute(query.where(wanted))).first()
            position = await _position(connection)
        return (None if row is None else _event_row(row)), position

    async def functions(self, limit: int, cursor: Cursor | None) -> Found[FunctionRow]:
        """The declared functions by name."""
        c = t.functions.c
        query = select(c.name, c.body, c.sequence)
        rows, found = await self._page(query, c.name, limit, cursor, newest_first=False)
        return found._replace(items=[FunctionRow(_fact(row[1]), row[2]) for row in rows])

    async def function(self, name: str) -> tuple[FunctionRow | None, int]:
        """One declared function."""
        c = t.functions.c
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(c.body, c.sequence).where(c.name == name))).first()
            position = await _position(connection)
        return (None if row is None else FunctionRow(_fact(row[0]), row[1])), position

    async def open_counts(self) -> list[OpenCount]:
        """Executions that have not ended, by function and state."""
        c = t.executions.c
        wanted = c.state.in_([str(state) for state in State if state not in FINAL_STATES])
        counts = select(c.function, c.state, func.count(), func.min(c.sequence)).where(wanted)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(counts.group_by(c.function, c.state))).all()
            longest = {row[3] for row in rows if row[1] == State.QUEUED}
            bodies = select(c.function, c.body).where(c.state == str(State.QUEUED), c.sequence.in_(longest))
            found = (await connection.execute(bodies)).all() if longest else []
        since = {row[0]: _execution(row[1]).updated_at for row in found}
        return [
            OpenCount(row[0], State(row[1]), row[2], since.get(row[0]) if row[1] == State.QUEUED else None)
            for row in rows
        ]

    async def schedules(self, limit: int, cursor: Cursor | None) -> Found[Schedule]:
        """The schedules that are not deleted, by key."""
        c = t.schedules.c
        query = select(c.key, c.body).where(c.live == 1)
        rows, found = await self._page(query, c.key, limit, cursor, newest_first=False)
        return found._replace(items=[decode_schedule(row[1]) for row in rows])

    async def schedule(self, key: str) -> tuple[Schedule | None, int]:
        """One schedule, also a deleted one."""
        c = t.schedules.c
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(c.body).where(c.key == indexable(key)))).first()
            position = await _position(connection)
        return (None if row is None else decode_schedule(row[0])), position

    async def ticks(self, key: str, limit: int, cursor: Cursor | None) -> Found[TickRow]:
        """What became of the ticks of a schedule, the latest first."""
        c = t.ticks.c
        query = select(c.tick, c.body, c.decided_at, c.sequence).where(c.schedule == indexable(key))
        rows, found = await self._page(query, c.tick, limit, cursor, newest_first=True)
        return found._replace(items=[TickRow(decode_entry(row[1]), row[2], row[3]) for row in rows])

    async def notifications(self, wanted: NotificationFilter, limit: int, cursor: Cursor | None) -> Found[Delivery]:
        """Deliveries that fit all filters, the latest first."""
        c = t.notifications.c
        query = select(c.due_sequence, c.body)
        for column, values in zip((c.state, c.channel, c.rule, c.function), wanted[:4], strict=True):
            if values:
                query = query.where(column.in_([indexable(value) for value in values]))
        if wanted.execution_id is not None:
            query = query.where(c.execution_id == wanted.execution_id)
        rows, found = await self._page(query, c.due_sequence, limit, cursor, newest_first=True)
        return found._replace(items=[decode_delivery(row[1]) for row in rows])

    async def notification(self, notification: str) -> Found[Delivery]:
        """The deliveries of one notification, one for each channel."""
        c = t.notifications.c
        query = select(c.due_sequence, c.body).where(c.id == indexable(notification))
        rows, found = await self._page(query, c.due_sequence, page_items_max, None, newest_first=False)
        return found._replace(items=[decode_delivery(row[1]) for row in rows])

    async def event_positions(self, sequences: Sequence[int]) -> list[int]:
        """Those of the positions in EVENTS that the view knows."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(t.events.c.sequence).where(t.events.c.sequence.in_(sequences)))
            return [row[0] for row in rows]

    async def final(self, ids: Sequence[str]) -> list[str]:
        """Those of the executions that have ended."""
        c = t.executions.c
        finals = [state.value for state in FINAL_STATES]
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(c.id).where(c.id.in_(ids), c.state.in_(finals)))
            return [row[0] for row in rows]

    async def _page(
        self, query: Select[Any], key: ColumnElement[Any], limit: int, cursor: Cursor | None, *, newest_first: bool
    ) -> tuple[list[Any], Found[Any]]:
        backwards = cursor is not None and cursor.backwards
        descending = newest_first != backwards
        if cursor is not None:
            query = query.where(key < cursor.key if descending else key > cursor.key)
        # One row more than wanted tells whether there is a further page.
        query = query.order_by(key.desc() if descending else key.asc()).limit(limit + 1)
        async with self._engine.connect() as connection:
            rows = list((await connection.execute(query)).all())
            position = await _position(connection)
        return _cut(rows, limit, cursor, position)


def _cut(rows: list[R], limit: int, cursor: Cursor | None, position: int) -> tuple[list[R], Found[Any]]:
    """The rows of a page in list order and what lies around it, from those of the walk; keys are their first column."""
    more, rows = len(rows) > limit, rows[:limit]
    if cursor is not None and cursor.backwards:
        rows.reverse()
    keys: list[Key] = [row[0] for row in rows]
    following, previous = around(keys, cursor, more)
    return rows, Found([], following, previous, position)


async def _position(connection: AsyncConnection) -> int:
    return int(await connection.scalar(select(t.position.c.sequence)) or 0)


def _event_row(row: Any) -> EventRow:
    fact = _fact(row[1])
    assert not isinstance(fact, FunctionDeclared)
    return EventRow(fact, row[2], row[3], row[4], row[0])


def _event_conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    c = t.events.c
    states = set(wanted.states)
    if "accepted" in states:
        states = (states - {"accepted"}) | {"matched", "unmatched"}
    conditions: list[ColumnElement[bool]] = []
    if states:
        conditions.append(c.state.in_(sorted(states)))
    if wanted.names:
        conditions.append(c.name.in_([indexable(name) for name in wanted.names]))
    return conditions
