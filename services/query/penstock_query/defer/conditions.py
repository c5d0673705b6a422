"""What Defer's filters mean in the tables of the view."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, or_

from penstock.defer.errors import ERROR_CODES, INTERNAL_ERROR
from penstock.defer.states import DeferState, our_states
from penstock_query import tables as t
from penstock_query.conditions import Condition, of_metadata, of_time, one_of, plain
from penstock_query.defer.requests import Wanted
from penstock_query.fold import indexable
from penstock_query.times import Interval


def conditions_of(wanted: Wanted) -> list[Condition]:
    """One for each filter, those that leave the fewest rows as a rule first."""
    c = t.executions.c
    conditions: list[Condition] = []
    if wanted.parent_id is not None:
        conditions.append(plain(c.parent_id == indexable(wanted.parent_id)))
    conditions += [of_metadata(key, values) for key, values in wanted.metadata]
    if wanted.error_codes:
        conditions.append(plain(_error(wanted.error_codes)))
    if wanted.functions:
        conditions.append(one_of(c.function, [indexable(name) for name in wanted.functions]))
    if wanted.states:
        conditions.append(_state(wanted.states))
    for column, interval in ((c.due_at, wanted.scheduled), (c.started_at, wanted.started)):
        if interval != Interval():
            conditions.append(of_time(column, interval))
    return conditions


def _state(words: Sequence[DeferState]) -> Condition:
    """One of our states may be two of theirs, by whether an attempt has started."""
    c = t.executions.c
    needs: dict[str, set[bool | None]] = {}
    for word in words:
        for state, started in our_states(word):
            needs.setdefault(str(state), set()).add(started)
    found = one_of(c.state, sorted(needs))
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
