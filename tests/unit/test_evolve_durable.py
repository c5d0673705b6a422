"""What each fact of durable code changes in an execution."""

import pytest
from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve import evolve, fold
from penstock.domain.execution.state import Execution, State
from unit.durable_histories import (
    CHILD,
    OTHER,
    RUNNING,
    called,
    child_done,
    children,
    compensating,
    event,
    message,
    opened,
    received,
    sleep,
    step,
    step_failed,
    woken,
)
from unit.histories import BOOM, retry_scheduled, started
from unit.test_evolve import after


def test_a_step_that_has_begun_is_known_and_not_done() -> None:
    """The runner tells a crash inside it from one before it."""
    op = after(*RUNNING, f.StepStarted(n=3, at=0, attempt=1, step="a", position=2)).ops["a"]
    assert (op.kind, op.started, op.done, op.position) == ("step", True, False, 2)


def test_a_failed_step_counts_its_failures_until_it_is_done() -> None:
    """With the time of the next try, or for good."""
    op = after(*RUNNING, step_failed(failures=2, retry_at=50)).ops["a"]
    assert (op.done, op.failures, op.retry_at, op.error) == (False, 2, 50, BOOM)
    op = after(*RUNNING, step_failed(failures=3, retry_at=None)).ops["a"]
    assert (op.done, op.outcome, op.error) == (True, "failed", BOOM)


def test_results_are_listed_in_the_order_of_their_ends() -> None:
    """Those of steps only, and none of a failed one."""
    state = after(*RUNNING, step(3, "b"), step_failed(4, retry_at=None), step(5, "c"), woken(6, "nap"))
    assert list(state.steps) == ["b", "c"]


def test_steps_survive_retries_and_losses() -> None:
    """That is what they are for."""
    history = (*RUNNING, step(), retry_scheduled(n=4), f.Due(n=5, at=0), started(n=6, activation=5, attempt=2))
    assert list(after(*history).steps) == ["a"]


def test_a_suspended_execution_waits_and_holds_nothing() -> None:
    """No activation, no owner."""
    for history in ((opened(3, sleep()),), (opened(3, sleep(), suspends=False), f.Suspended(n=4, at=0))):
        state = after(*RUNNING, *history)
        assert (state.state, state.activation, state.owner) == (State.WAITING, 0, "")
        assert (state.suspended, state.resuming, state.wakes_at) == (True, True, 100)


def test_the_next_look_is_at_the_first_of_the_open_waits() -> None:
    """None, if nothing ends by itself."""
    assert after(*RUNNING, opened(3, sleep("a", 90), sleep("b", 50), event())).wakes_at == 50
    assert after(*RUNNING, opened(3, event())).wakes_at is None


def test_the_next_look_of_a_backoff_is_at_its_end() -> None:
    """Waits that end before it are seen by the next attempt."""
    assert after(*RUNNING, opened(3, sleep(until=50), suspends=False), retry_scheduled(n=4, retry_at=90)).wakes_at == 90


def test_woken_closes_the_wait_and_its_alternatives() -> None:
    """And keeps what ended it."""
    history = (*RUNNING, opened(3, event(group="g", position=3), sleep(group="g"), message()))
    state = after(*history, woken(4, "approved", "event", result=Raw(b"7"), source="e1", wakes=True))
    op = state.ops["approved"]
    assert list(state.waits) == ["receive"]
    assert "nap" not in state.ops
    assert (op.kind, op.done, op.outcome, op.result, op.source, op.position) == (
        "wait", True, "event", Raw(b"7"), "e1", 3,
    )  # fmt: skip
    assert (state.state, state.activation, state.suspended, state.resuming) == (State.QUEUED, 4, False, True)


def test_woken_and_gated_is_queued_without_an_activation() -> None:
    """Admission opens it."""
    state = after(*RUNNING, opened(3, sleep()), woken(4, "nap", wakes=True, gated=True))
    assert (state.state, state.activation, state.suspended) == (State.QUEUED, 0, False)


def test_woken_before_its_wait_is_remembered() -> None:
    """A token may be used first; its place is then not known."""
    op = after(*RUNNING, woken(3, "pay", "completed", source="s1")).ops["pay"]
    assert (op.kind, op.done, op.position) == ("wait", True, 0)


def test_a_call_is_done_when_all_its_children_are() -> None:
    """Their results are with them."""
    history = (*RUNNING, called(3, CHILD, OTHER), child_done(4, OTHER, state="failed", error=BOOM))
    state = after(*history)
    assert (state.ops["call"].done, state.children[OTHER].state, state.children[OTHER].error) == (False, "failed", BOOM)
    state = after(*history, child_done(5))
    op = state.ops["call"]
    assert (op.done, op.outcome, op.n, op.children) == (True, "children", 5, [CHILD, OTHER])
    assert state.children[CHILD].result == Raw(b"3")


def test_a_detached_call_is_done_at_once() -> None:
    """Nothing is awaited."""
    op = after(*RUNNING, called(detached=True)).ops["call"]
    assert (op.done, op.outcome, op.detached) == (True, "detached", True)


def test_the_last_child_closes_the_wait_for_it() -> None:
    """And wakes, where it says so."""
    state = after(*RUNNING, called(), opened(4, children()), child_done(5, wakes=True))
    assert (state.waits, state.state, state.activation) == ({}, State.QUEUED, 5)


def test_a_call_that_timed_out_keeps_its_children() -> None:
    """They are still running, and it stays a call."""
    op = after(*RUNNING, called(), opened(4, children(until=9)), woken(5, "call", "timed_out", wakes=True)).ops["call"]
    assert (op.kind, op.outcome, op.children) == ("call", "timed_out", [CHILD])


def test_messages_are_kept_by_channel_until_they_are_received() -> None:
    """Their ids for ever."""
    history = (*RUNNING, received(3, "m1"), received(4, "m2"), received(5, "m3", "other"))
    state = after(*history)
    assert {channel: [one.message for one in kept] for channel, kept in state.mailbox.items()} == {
        "default": ["m1", "m2"], "other": ["m3"],
    }  # fmt: skip
    state = after(*history, woken(6, "receive", "message", source="m3"))
    assert list(state.mailbox) == ["default"]
    assert set(state.messages) == {"m1", "m2", "m3"}


def test_the_latest_progress_counts() -> None:
    """It says nothing about the state."""
    state = after(*RUNNING, f.Progressed(n=3, at=0, done=1), f.Progressed(n=4, at=0, done=2, total=9, note="x"))
    assert state.progress == f.Progressed(n=4, at=0, done=2, total=9, note="x")
    assert state.state is State.RUNNING


def test_paused_waits_for_a_fix_and_resumed_goes_on() -> None:
    """With the error to be mended; failures begin at 0 again."""
    paused = (*RUNNING, f.Paused(n=3, at=0, attempt=1, error=BOOM))
    state = after(*paused)
    assert (state.state, state.paused, state.activation, state.error, state.failures) == (
        State.WAITING, True, 0, BOOM, 1,
    )  # fmt: skip
    state = after(*paused, f.Resumed(n=4, at=0))
    assert (state.state, state.paused, state.activation, state.failures, state.resuming) == (
        State.QUEUED, False, 4, 0, False,
    )  # fmt: skip


@pytest.mark.parametrize(("outcome", "shown"), [("failed", State.QUEUED), ("cancelled", State.CANCELLING)])
def test_undoing_ends_all_waits_and_keeps_the_steps(outcome: str, shown: State) -> None:
    """What it will end in is known."""
    state = after(*RUNNING, step(undo=True), opened(4, sleep()), compensating(5, outcome), f.Due(n=6, at=0))
    assert (state.state, state.waits, state.activation, state.resuming) == (shown, {}, 6, True)
    assert dict(state.undoable) == {"a": 3}
    assert state.compensating is not None


def test_an_undone_step_is_not_undone_again() -> None:
    """Only steps that can be undone are listed."""
    history = (*RUNNING, step(3, "a", undo=True), step(4, "b"), step(5, "a#2", undo=True))
    assert dict(after(*history).undoable) == {"a": 3, "a#2": 5}
    undone = (*history, compensating(6), f.Due(n=7, at=0), started(n=8, activation=7), step(9, "a#2~undo"))
    assert dict(after(*undone).undoable) == {"a": 3}


def test_an_end_closes_everything() -> None:
    """Nothing waits for nothing."""
    state = after(*RUNNING, opened(3, sleep()), f.Cancelled(n=4, at=9))
    assert (state.waits, state.suspended, state.wakes_at) == ({}, False, None)


def test_readers_that_keep_no_operations_see_the_same_states() -> None:
    """They drop what only grows, after every fact."""
    history = (
        *RUNNING, step(undo=True), received(4), called(5, CHILD, OTHER), opened(6, children("call", CHILD, OTHER)),
        child_done(7), child_done(8, OTHER, wakes=True), started(n=9, activation=8), opened(10, sleep(), message()),
        woken(11, "nap", wakes=True), started(n=12, activation=11), f.Progressed(n=13, at=0, done=1),
    )  # fmt: skip
    lean: Execution | None = None
    for sequence, fact in enumerate(history, start=1):
        lean = evolve(lean, "e", fact, sequence).without_operations()
        whole = fold("e", enumerate(history[:sequence], start=1))
        assert whole is not None
        assert lean == whole.without_operations()
