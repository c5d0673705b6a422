"""What Defer's filters mean in the tables of the view."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select

from penstock.defer.errors import ERROR_CODES, INTERNAL_ERROR
from penstock.defer.states import DeferState, our_states
from penstock_query import tables as t
from penstock_query.defer.requests import Interval, Wanted
from penstock_query.fold import indexable

Keys = Select[int]
TimeColumn = ColumnElement[int] | ColumnElement[int | None]


class Time(NamedTuple):
    """A column of times and what is wanted of it."""

    column: TimeColumn
    interval: Interval


class Condition(NamedTuple):
    """One filter: which rows fit it exactly, and a quick way to the keys of those that may."""

    exactly: ColumnElement[bool]
    keys: Keys
    time: Time | None = None


def conditions_of(wanted: Wanted) -> list[Condition]:
    """One for each filter, those that leave the fewest rows as a rule first."""
    c = t.executions.c
    conditions: list[Condition] = []
    if wanted.parent_id is not None:
        conditions.append(_simple(c.parent_id == indexable(wanted.parent_id)))
    conditions += [_metadata(key, values) for key, values in wanted.metadata]
    if wanted.error_codes:
        conditions.append(_simple(_error(wanted.error_codes)))
    if wanted.functions:
        conditions.append(_simple(c.function.in_([indexable(name) for name in wanted.functions])))
    if wanted.states:
        conditions.append(_state(wanted.states))
    for column, interval in ((c.due_at, wanted.scheduled), (c.started_at, wanted.started)):
        if interval != Interval():
            conditions.append(_time(column, interval))
    return conditions


def _simple(condition: ColumnElement[bool]) -> Condition:
    return Condition(condition, select(t.executions.c.created_sequence).where(condition))


def _state(words: Sequence[DeferState]) -> Condition:
    """One of our states may be two of theirs, by whether an attempt has started."""
    c = t.executions.c
    needs: dict[str, set[bool | None]] = {}
    for word in words:
        for state, started in our_states(word):
            needs.setdefault(str(state), set()).add(started)
    found = _simple(c.state.in_(sorted(needs)))
    exactly = found.exactly
    for started, begun in ((True, c.started_at.is_not(None)), (False, c.started_at.is_(None))):
        if states := [state for state, each in sorted(needs.items()) if each == {started}]:
            exactly = and_(exactly, or_(begun, c.state.not_in(states)))
    return found._replace(exactly=exactly)


def _error(codes: Sequence[str]) -> ColumnElement[bool]:
    """Only what failed has a code; the rest of ours are one code of Defer's."""
    column = t.executions.c.error_code
    named = [ours for ours, theirs in ERROR_CODES.items() if theirs in codes]
    if INTERNAL_ERROR not in codes:
        return column.in_(named)
    # Not only `not_in`: an index wants to be told where to look.
    return and_(column > "", column.not_in([ours for ours in ERROR_CODES if ours not in named]))


def _time(column: TimeColumn, interval: Interval) -> Condition:
    """Plain columns would tempt SQLite to sort all rows of an interval rather than walk to those of one page."""
    keys = _simple(_between(column, interval)).keys
    return Condition(_between(column + 0, interval), keys, Time(column, interval))


def _between(column: TimeColumn, interval: Interval) -> ColumnElement[bool]:
    ends: list[ColumnElement[bool]] = []
    if interval.start is not None:
        ends.append(column >= interval.start)
    if interval.end is not None:
        ends.append(column <= interval.end)
    return and_(*ends)


def _metadata(key: str, values: Sequence[str]) -> Condition:
    m = t.execution_metadata.c
    fitting = and_(m.key == indexable(key), m.value.in_([indexable(value) for value in values]))
    return Condition(
        exists().where(fitting, m.execution == t.executions.c.created_sequence), select(m.execution).where(fitting)
    )
