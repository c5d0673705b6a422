"""Snapshots of long executions tell what the facts tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.execution.evolve import evolve, fold
from penstock.domain.execution.facts import Enqueued
from penstock.domain.execution.snapshot import decode_snapshot, encode_snapshot
from penstock.testing import Run, Simulation
from unit.test_simulation import d


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Executions with every kind of durable fact."""
    folder = tmp_path_factory.mktemp("runs")
    simulation = Simulation(d.app)
    listening = simulation.call(d.listens)
    listening.send(1, "orders")
    listening.send(2, "elsewhere")
    for function, argument in ((d.saga, folder), (d.retries_a_step, folder / "tries"), (d.pauses, folder / "no")):
        simulation.call(function, str(argument))
    simulation.call(d.everything)
    simulation.call(d.approval, "d1")
    return simulation.runs()


@given(data=st.data())
def test_a_snapshot_and_what_came_after_is_the_fold_from_zero(runs: list[Run], data: st.DataObject) -> None:
    """Wherever the snapshot stands."""
    run = data.draw(st.sampled_from(runs))
    facts = list(enumerate(run.facts, start=1))
    cut = data.draw(st.integers(1, len(facts)))
    first, before = facts[0][1], fold(run.id, facts[:cut])
    assert isinstance(first, Enqueued)
    assert before is not None
    kept = decode_snapshot(encode_snapshot(first, before))
    assert kept is not None
    state = kept[1]
    for sequence, fact in facts[cut:]:
        state = evolve(state, run.id, fact, sequence)
    assert kept[0] == first
    assert state == fold(run.id, facts)


def test_a_snapshot_of_another_form_is_passed_over(runs: list[Run]) -> None:
    """The facts are read instead."""
    first, state = runs[0].facts[0], fold(runs[0].id, enumerate(runs[0].facts, start=1))
    assert isinstance(first, Enqueued)
    assert state is not None
    assert decode_snapshot(encode_snapshot(first, state).replace(b'"form":1', b'"form":0')) is None
    assert decode_snapshot(b"torn") is None
