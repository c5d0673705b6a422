"""Both lists of executions against a naive filter over all rows, whichever way the walk takes; on both databases."""

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar, get_args

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from examples import examples
from penstock.defer.errors import ERROR_CODES, INTERNAL_ERROR
from penstock.defer.states import DeferState, state_of
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.execution.state import Execution, State
from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_query import tables as t
from penstock_query import walk
from penstock_query.cursors import Cursor, Stretch
from penstock_query.defer import conditions as defer
from penstock_query.defer.requests import Wanted
from penstock_query.fold import Known, created_row
from penstock_query.queries import ExecutionFilter
from penstock_query.times import Interval
from sample_facts import new_id
from services_query_view import OpenView

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")

FUNCTIONS, EVENTS, PARENTS, VALUES = ("add", "mail", "work"), ("e1", "e2"), ("aa" * 16, "bb" * 16), ("0", "1", "2")
CODES = ("user_error", "timed_out", "out_of_memory", "diverged")
MOMENT, SPAN, ROWS = 10_000, 60, 400


def some(dice: random.Random, all_of_them: tuple[T, ...], chance: float = 0.3) -> tuple[T, ...]:
    """Often none."""
    return tuple(sorted(dice.sample(all_of_them, dice.randint(1, 2)), key=str)) if dice.random() < chance else ()


def execution(dice: random.Random, number: int) -> Execution:
    """Any state with anything that filters look at; the times roughly grow."""
    at = MOMENT + number * SPAN // ROWS + dice.randrange(10)
    has_started = dice.random() < 0.7
    return Execution(
        id=new_id(),
        n=1,
        trace_id="t",
        function=dice.choice(FUNCTIONS),
        state=dice.choice(tuple(State)),
        created_at=at,
        updated_at=at,
        due_at=at + dice.choice([0, 0, 20]),
        attempt=int(has_started),
        started_at=at + dice.randrange(9) if has_started else None,
        event_id=dice.choice([None, *EVENTS]),
        parent_id=dice.choice([None, *PARENTS]),
        metadata={key: dice.choice(VALUES) for key in ("k", "user") if dice.random() < 0.6},
        error=dice.choice([None, *(ErrorInfo(code=code) for code in CODES)]),
    )


class Filled:
    """A view with rows, and the same rows in the order of the list."""

    def __init__(self, view: OpenView, known: list[Known]) -> None:
        self.view = view
        self.known = known

    def naive(self, fits: Callable[[Execution], bool], stretch: Stretch) -> list[int]:
        """The keys of what fits, by looking at every row."""
        keys = [row.created_sequence for row in self.known if fits(row.state) and stretch.holds(row.created_sequence)]
        return sorted(keys, reverse=not stretch.from_end)[: stretch.size + 1]


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
async def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Filled]:
    """One view for all tests here."""
    url = "" if request.param == "sqlite" else str(request.getfixturevalue("postgres"))
    dice, folder = random.Random(7), tmp_path_factory.mktemp("view")
    known = [Known(3 * n, replace(execution(dice, n), sequence=3 * n)) for n in range(1, ROWS)]
    async with OpenView(_settings(folder, url), Names(f"v-{new_id()[:12]}")) as view:
        names = [column.name for column in t.executions.columns]
        async with view.writer.begin() as connection:
            rows = [dict(zip(names, created_row(each), strict=True)) for each in known]
            await connection.execute(t.executions.insert(), rows)
            entries = [
                {"key": key, "value": value, "execution": each.created_sequence}
                for each in known
                for key, value in each.state.metadata.items()
            ]
            await connection.execute(t.execution_metadata.insert(), entries)
        yield Filled(view, known)


def _settings(folder: Path, url: str) -> Settings:
    return Settings(data_dir=str(folder), database_url=url)


@pytest.fixture(params=[0, 60, 5000], ids=["walked", "either", "picked"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which filters are said to leave few rows: none but empty ones, some, all."""
    monkeypatch.setattr(walk, "FEW", request.param)
    monkeypatch.setattr(walk, "AT_ONCE", 7)


def _interval(dice: random.Random) -> Interval:
    if dice.random() < 0.6:
        return Interval()
    ends = sorted(MOMENT + dice.randrange(-10, SPAN + 30) for _ in range(2))
    return Interval(dice.choice([None, ends[0]]), dice.choice([None, ends[1]]))


def _metadata(dice: random.Random) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((key, values) for key in ("k", "user") if (values := some(dice, VALUES, 0.25)))


def _has(execution: Execution, metadata: tuple[tuple[str, tuple[str, ...]], ...]) -> bool:
    return all(execution.metadata.get(key) in values for key, values in metadata)


@pytest.mark.usefixtures("few")
@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
async def test_the_list_of_executions_is_what_a_naive_filter_finds(filled: Filled, seed: int) -> None:
    """Every mixture of filters, from any cursor, both ways."""
    dice = random.Random(seed)
    wanted = ExecutionFilter(
        tuple(map(str, some(dice, tuple(State)))),
        some(dice, FUNCTIONS),
        dice.choice([None, None, *EVENTS]),
        dice.choice([None, None, *PARENTS]),
        _interval(dice),
        _metadata(dice),
    )

    def fits(each: Execution) -> bool:
        return (
            (not wanted.states or each.state in wanted.states)
            and (not wanted.functions or each.function in wanted.functions)
            and wanted.event_id in (None, each.event_id)
            and wanted.parent_id in (None, each.parent_id)
            and wanted.created.holds(each.created_at)
            and _has(each, wanted.metadata)
        )

    key, limit = dice.randrange(3 * ROWS), dice.choice([1, 5, 20])
    cursor = dice.choice([None, Cursor(False, key), Cursor(True, key)])
    backwards = cursor is not None and cursor.backwards
    stretch = Stretch(limit, backwards)
    if cursor is not None:
        stretch = stretch._replace(before=key) if backwards else stretch._replace(after=key)
    expected = filled.naive(fits, stretch)
    found = await filled.view.reads.executions(wanted, limit, cursor)
    shown = [each.sequence for each in found.items]
    assert shown == sorted(expected[:limit], reverse=True), wanted
    assert ((found.previous if backwards else found.next) is not None) == (len(expected) > limit), wanted


@pytest.mark.usefixtures("few")
@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
async def test_defers_list_is_what_a_naive_filter_finds(filled: Filled, seed: int) -> None:
    """The same for its filters and pages."""
    dice = random.Random(seed)
    theirs = (*sorted(set(ERROR_CODES.values())), INTERNAL_ERROR)
    wanted = Wanted(
        states=some(dice, get_args(DeferState)),
        functions=some(dice, FUNCTIONS),
        error_codes=some(dice, theirs, 0.2),
        scheduled=_interval(dice),
        started=_interval(dice),
        parent_id=dice.choice([None, None, *PARENTS]),
        metadata=_metadata(dice),
    )

    def fits(each: Execution) -> bool:
        failed = each.state is State.FAILED and each.error is not None
        code = ERROR_CODES.get(each.error.code, INTERNAL_ERROR) if failed and each.error is not None else None
        return (
            (not wanted.states or state_of(each) in wanted.states)
            and (not wanted.functions or each.function in wanted.functions)
            and (not wanted.error_codes or code in wanted.error_codes)
            and wanted.scheduled.holds(each.due_at)
            and wanted.started.holds(each.started_at)
            and wanted.parent_id in (None, each.parent_id)
            and _has(each, wanted.metadata)
        )

    ends = [dice.choice([None, dice.randrange(3 * ROWS)]) for _ in range(2)]
    stretch = Stretch(dice.choice([0, 1, 5, 20]), dice.random() < 0.5, *ends)
    found = await filled.view.reads.walk(defer.conditions_of(wanted), stretch)
    assert [row.created_sequence for row in found] == filled.naive(fits, stretch), wanted
