"""The projector: the same rows whatever the batches, nothing twice, nothing silently left out."""

import random
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from penstock.domain.execution.facts import Enqueued, Started, Succeeded
from penstock.domain.execution.state import State
from penstock.ports import LogEntry
from penstock.service.settings import Settings
from penstock.wire.names import Names
from penstock_query.fold import Changes
from penstock_query.project import gaps_in
from penstock_query.store import Fenced
from services_query import entries_of, legal_history

TABLES = ("executions", "execution_metadata", "events", "functions", "quarantine")


def an_id() -> str:
    return uuid.uuid4().hex


def plain(execution_id: str) -> list[object]:
    return [
        Enqueued(n=1, at=1, function="work", trace_id=execution_id, metadata={"user": "u1"}),
        Started(n=2, at=2, activation=1, attempt=1, runner="r1"),
        Succeeded(n=3, at=3, attempt=1),
    ]


async def test_a_batch_becomes_rows_and_position(view):
    """Rows and position are there together after a batch."""
    execution_id = an_id()
    await view.projection.apply(entries_of(view.names, [(execution_id, plain(execution_id))]))
    state, position = await view.reads.execution(execution_id)
    assert state is not None
    assert (state.state, state.attempt, state.metadata, position) == (State.SUCCEEDED, 1, {"user": "u1"}, 3)


async def test_an_execution_goes_on_from_its_row(view):
    """A projector that starts anew folds the next fact onto the stored row."""
    execution_id = an_id()
    entries = entries_of(view.names, [(execution_id, plain(execution_id))])
    await view.projection.apply(entries[:1])
    view.projection._cache.clear()
    await view.projection.apply(entries[1:])
    state, _ = await view.reads.execution(execution_id)
    assert state is not None
    assert (state.state, state.started_at, state.n) == (State.SUCCEEDED, 2, 3)


async def test_a_batch_applied_again_changes_nothing(view):
    """After a crash between commit and acknowledgement the same batch comes again."""
    execution_id = an_id()
    entries = entries_of(view.names, [(execution_id, plain(execution_id))])
    await view.projection.apply(entries[:2])
    before = await view.rows(*TABLES, "position")
    assert await view.projection.apply(entries[:2]) is None
    assert await view.rows(*TABLES, "position") == before


async def test_a_projector_that_was_taken_over_cannot_write(view):
    """The epoch refuses whole batches of a projector that lost its place."""
    execution_id = an_id()
    await view.store.take_over()
    with pytest.raises(Fenced):
        await view.projection.apply(entries_of(view.names, [(execution_id, plain(execution_id))]))
    assert (await view.rows("executions"))["executions"] == []


async def test_malformed_bytes_are_quarantined_and_stop_nothing(view):
    """A fact that cannot be decoded is kept aside, and those behind it are projected."""
    execution_id = an_id()
    entries = entries_of(view.names, [(execution_id, plain(execution_id))])
    bad = LogEntry(1, view.names.fact_subject(an_id(), "work", "run"), b'{"kind":"enqueued","n":1')
    shifted = [LogEntry(entry.sequence + 1, entry.subject, entry.data) for entry in entries]
    await view.projection.apply([bad, *shifted])
    rows = (await view.rows("quarantine"))["quarantine"]
    assert [(row[0], bytes(row[3])) for row in rows] == [(1, bad.data)]
    assert (await view.reads.execution(execution_id))[0] is not None


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "no object"),
        (b'{"kind":"started","n":2,"at":1,"activation":1,"attempt":1,"runner":"r"}', "no first fact"),
        (b'{"kind":"enqueued","n":99999999999999999999,"at":1,"function":"w","trace_id":"t"}', "number too large"),
        (b'{"kind":"enqueued","n":1,"at":999999999999999999999,"function":"w","trace_id":"t"}', "beyond year 9999"),
    ],
)
async def test_every_kind_of_bad_fact_is_quarantined(view, data, what):
    """No bytes in the log can stop the projector."""
    changes = await view.projection.apply([LogEntry(1, view.names.fact_subject(an_id(), "work", "fact"), data)])
    assert isinstance(changes, Changes)
    assert len(changes.quarantine) == 1, what


async def test_an_unknown_kind_is_no_error(view):
    """A fact of a newer program moves the number and is not quarantined."""
    execution_id = an_id()
    entries = entries_of(view.names, [(execution_id, plain(execution_id)[:2])])
    newer = LogEntry(3, view.names.fact_subject(execution_id, "work", "fact"), b'{"kind":"dreamt","n":3,"at":9}')
    system = LogEntry(4, view.names.system_subject("dreamt", "x"), b'{"kind":"dreamt","at":9}')
    changes = await view.projection.apply([*entries, newer, system])
    assert changes is not None
    assert changes.quarantine == []
    assert changes.touched[execution_id].state.n == 3


async def test_text_that_a_database_cannot_hold_stops_nothing(view):
    """A NUL in metadata is projected on both databases."""
    execution_id = an_id()
    fact = Enqueued(n=1, at=1, function="work", trace_id=execution_id, metadata={"a\x00b": "c\x00"}, event_id="e\x00")
    await view.projection.apply(entries_of(view.names, [(execution_id, [fact])]))
    state, _ = await view.reads.execution(execution_id)
    assert state is not None
    assert state.metadata == {"a\x00b": "c\x00"}


def test_missing_positions_are_found():
    """Each run of missing entries is named by its first and last position."""
    entries = [LogEntry(n, "s", b"") for n in (3, 4, 7, 8, 12)]
    assert gaps_in(2, entries) == [(5, 6), (9, 11)]
    assert gaps_in(0, entries[:2]) == [(1, 2)]
    assert gaps_in(2, entries[:2]) == []


async def test_a_gap_is_remembered_over_a_restart(view):
    """A restart does not make missing facts forgotten."""
    execution_id = an_id()
    entries = entries_of(view.names, [(execution_id, plain(execution_id))])
    await view.projection.apply([entries[0], entries[2]])
    assert await view.store.gaps() == [(2, 2)]


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=12))
async def test_any_split_into_batches_gives_the_same_rows(tmp_path_factory, seed, cuts):
    """A random legal history of several executions, cut anywhere, ends in the same rows as one batch."""
    from services_query_view import OpenView

    names = Names("dev")
    entries = entries_of(names, legal_history(random.Random(seed)), shuffle=random.Random(seed))
    results = []
    for pieces in ([len(entries)], cuts):
        folder: Path = tmp_path_factory.mktemp("view")
        async with OpenView(Settings(data_dir=str(folder)), names) as view:
            at, turn = 0, 0
            while at < len(entries):
                size = pieces[turn % len(pieces)]
                await view.projection.apply(entries[at : at + size])
                if turn % 2:
                    view.projection._cache.clear()
                at, turn = at + size, turn + 1
            results.append(await view.rows(*TABLES))
    assert results[0] == results[1]
    assert results[0]["quarantine"] == []
