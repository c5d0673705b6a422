"""What a filter of executions means in the tables of the view: exactly, and as a quick way to the rows that may fit."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, exists, select

from penstock_query import tables as t
from penstock_query.fold import indexable
from penstock_query.queries import ExecutionFilter
from penstock_query.times import Interval

TimeColumn = ColumnElement[int] | ColumnElement[int | None]


class Time(NamedTuple):
    """A column of times and what is wanted of it."""

    column: TimeColumn
    interval: Interval


class Condition(NamedTuple):
    """One filter: which rows fit it exactly, and a quick way to the keys of those that may.

    `runs` are the same keys value by value where an index has them in order: the ends of each are found at once.
    """

    exactly: ColumnElement[bool]
    keys: Select[int]
    time: Time | None = None
    runs: Sequence[Select[int]] = ()


def conditions_of(wanted: ExecutionFilter) -> list[Condition]:
    """One for each filter of /v1/executions, those that leave the fewest rows as a rule first."""
    c = t.executions.c
    conditions: list[Condition] = []
    if wanted.parent_id is not None:
        conditions.append(plain(c.parent_id == wanted.parent_id))
    if wanted.event_id is not None:
        conditions.append(plain(c.event_id == indexable(wanted.event_id)))
    conditions += [of_metadata(key, values) for key, values in wanted.metadata]
    if wanted.functions:
        conditions.append(one_of(c.function, wanted.functions))
    if wanted.states:
        conditions.append(one_of(c.state, wanted.states))
    if wanted.created != Interval():
        conditions.append(of_time(c.created_at, wanted.created))
    return conditions


def plain(condition: ColumnElement[bool]) -> Condition:
    """One that an index answers."""
    return Condition(condition, select(t.executions.c.created_sequence).where(condition))


def one_of(column: ColumnElement[str], values: Sequence[str]) -> Condition:
    """Any of the values, where an index has the column and behind it the key."""
    return plain(column.in_(values))._replace(runs=[plain(column == value).keys for value in values])


def of_time(column: TimeColumn, interval: Interval) -> Condition:
    """Plain columns would tempt SQLite to sort all rows of an interval rather than walk to those of one page."""
    keys = plain(_between(column, interval)).keys
    return Condition(_between(column + 0, interval), keys, Time(column, interval))


def _between(column: TimeColumn, interval: Interval) -> ColumnElement[bool]:
    ends: list[ColumnElement[bool]] = []
    if interval.start is not None:
        ends.append(column >= interval.start)
    if interval.end is not None:
        ends.append(column <= interval.end)
    return and_(*ends)


def of_metadata(key: str, values: Sequence[str]) -> Condition:
    """Any of the values."""
    m = t.execution_metadata.c
    texts = [indexable(value) for value in values]
    found = select(m.execution).where(m.key == indexable(key))
    exactly = exists(found.where(m.value.in_(texts), m.execution == t.executions.c.created_sequence))
    runs = [found.where(m.value == text) for text in texts]
    return Condition(exactly, found.where(m.value.in_(texts)), runs=runs)
