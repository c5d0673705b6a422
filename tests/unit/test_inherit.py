"""Restarting from a step: what is taken over, what runs again, and how it is written down."""

import pytest
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.execution.inherit import (
    Inherited,
    decode_inherited,
    encode_inherited,
    inherited_from,
    read_inherited,
    with_inherited,
)
from unit.durable_histories import (
    CHILD,
    OTHER,
    RUNNING,
    called,
    child_done,
    children,
    compensating,
    opened,
    sleep,
    step,
    step_failed,
    woken,
)
from unit.histories import BOOM, started
from unit.test_evolve import after

STORY = (
    *RUNNING, step(3, "fetch", position=1), opened(4, sleep(position=2)), woken(5, "nap", wakes=True, position=2),
    started(n=6, activation=5), called(7, CHILD, OTHER), child_done(8), child_done(9, OTHER), step(10, "store"),
    f.Failed(n=11, at=0, attempt=1, error=BOOM),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("fetch", []),
        ("nap", ["fetch"]),
        ("call", ["fetch", "nap"]),
        ("store", ["fetch", "nap", "call"]),
    ],
)
def test_what_was_finished_before_is_taken_over(name: str, taken: list[str]) -> None:
    """Steps, waits and calls alike, in the order of their ends."""
    assert list(inherited_from(STORY, name).ops) == taken


def test_children_come_with_their_call() -> None:
    """Their results are the result of the call."""
    assert set(inherited_from(STORY, "store").children) == {CHILD, OTHER}
    assert not inherited_from(STORY, "call").children


def test_what_was_not_finished_is_not_taken_over() -> None:
    """It runs again."""
    history = (*RUNNING, step_failed(3), opened(4, sleep(), suspends=False), called(5), step(6, "late"))
    assert not inherited_from(history, "late").ops


def test_a_failed_step_is_taken_over_before_later_ones_and_runs_again_itself() -> None:
    """Its error was handled, or it would be the one to restart from."""
    history = (*RUNNING, step_failed(3, retry_at=None), step(4, "plan-b"))
    assert inherited_from(history, "plan-b").ops["a"].error == BOOM
    assert not inherited_from(history, "a").ops


def test_a_step_begins_with_its_first_fact() -> None:
    """What ended between its tries belongs to it."""
    history = (*RUNNING, f.StepStarted(n=3, at=0, attempt=1, step="pay"), step(4, "b"), step(5, "pay"))
    assert not inherited_from(history, "pay").ops


def test_what_was_undone_runs_again() -> None:
    """Its effect is gone."""
    history = (
        *RUNNING, step(3, "book", undo=True), step(4, "note"), step_failed(5, retry_at=None), compensating(6),
        f.Due(n=7, at=0), started(n=8, activation=7), step(9, "book~undo"), f.Failed(n=10, at=0, attempt=1, error=BOOM),
    )  # fmt: skip
    assert list(inherited_from(history, "a").ops) == ["note"]


@pytest.mark.parametrize("name", ["nothing", "", "book~undo"])
def test_an_unknown_step_is_refused_with_the_known_ones(name: str) -> None:
    """A typing error is seen at once."""
    with pytest.raises(Rejected, match="fetch, nap, call, store") as refusal:
        inherited_from(STORY, name)
    assert refusal.value.code == "invalid_option"
    assert refusal.value.members["known"] == ["fetch", "nap", "call", "store"]


def test_an_execution_without_steps_says_so() -> None:
    """There is nothing to restart from."""
    with pytest.raises(Rejected, match="no step yet"):
        inherited_from(RUNNING, "fetch")


def test_it_is_written_down_without_loss() -> None:
    """The runner reads what ingest wrote."""
    taken = inherited_from(STORY, "store")
    assert read_inherited(encode_inherited(taken)) == taken
    assert decode_inherited(encode_inherited(taken)) == taken.ops
    assert decode_inherited(encode_inherited(Inherited())) == {}


def test_what_is_taken_over_looks_like_its_own_and_is_older() -> None:
    """Numbers below 1 keep the order; what the execution did itself goes before."""
    taken = inherited_from(STORY, "store")
    assert [op.n for op in taken.ops.values()] == [-2, -1, 0]
    state = with_inherited(after(*RUNNING, step(3, "nap")), taken)
    assert list(state.steps) == ["fetch", "nap"]
    assert state.ops["nap"].kind == "step"
    assert state.ops["fetch"].position == 1
    assert state.children[CHILD].result == Raw(b"3")


def test_a_restart_of_a_restart_takes_over_from_both() -> None:
    """The second knows what the first took over."""
    first = inherited_from(STORY, "call")
    again = (*RUNNING, called(), child_done(4), step(5, "store"), f.Failed(n=6, at=0, attempt=1, error=BOOM))
    second = inherited_from(again, "store", first)
    assert [(key, op.n) for key, op in second.ops.items()] == [("fetch", -2), ("nap", -1), ("call", 0)]
    assert list(inherited_from(again, "nap", first).ops) == ["fetch"]
    assert not inherited_from(again, "fetch", first).ops
    with pytest.raises(Rejected, match="fetch, nap, call, store"):
        inherited_from(again, "other", first)


def test_waiting_for_children_does_not_begin_a_call() -> None:
    """The call does."""
    history = (*RUNNING, step(3, "fetch"), called(4), step(5, "between"), opened(6, children()))
    assert list(inherited_from(history, "call").ops) == ["fetch"]
