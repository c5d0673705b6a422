"""The list of steps, waits and calls, and of attempts, as the facts tell them."""

from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.domain.execution.inherit import inherited_from
from penstock.domain.execution.state import Execution
from penstock.ports import Recorded
from penstock.testing.given import EXECUTION_ID
from penstock_query.history import attempts_of
from penstock_query.operations import ChildShape, StepShape, operations_of
from penstock_query.waiting import undoing, waits_of, why_paused, why_waiting
from unit.durable_histories import (
    CHILD,
    OTHER,
    REJECTED,
    RUNNING,
    called,
    child_done,
    children,
    compensating,
    event,
    message,
    opened,
    sleep,
    step,
    step_failed,
    token,
    woken,
)
from unit.histories import BOOM, lost, retry_scheduled, started
from unit.test_evolve import after
from unit.test_inherit import STORY


def recorded(*facts: f.AnyFact) -> list[Recorded]:
    return [Recorded(EXECUTION_ID, "work", number, fact) for number, fact in enumerate(facts, start=1)]


def told(*facts: f.AnyFact) -> dict[str, StepShape]:
    return {shape.step: shape for shape in operations_of(recorded(*RUNNING, *facts))}


def states(*facts: f.AnyFact) -> list[tuple[int, str]]:
    return [(each.attempt, each.state) for each in attempts_of(recorded(*RUNNING, *facts))]


# Steps, waits and calls.


def test_a_step_is_running_retrying_and_completed() -> None:
    """With its failures and the time of the next try."""
    begun = f.StepStarted(n=3, at=7, attempt=1, step="a")
    assert told(begun)["a"].state == "running"
    failed = told(begun, step_failed(4, at=8))["a"]
    assert (failed.state, failed.failures, failed.retry_at is not None, failed.finished_at) == (
        "retrying",
        1,
        True,
        None,
    )
    done = told(begun, step_failed(4, at=8), step(5, at=9))["a"]
    assert (done.state, done.failures, done.result, done.error) == ("completed", 1, Raw(b"1"), None)
    assert (done.started_at, done.finished_at) == ("1970-01-01T00:00:00.000007Z", "1970-01-01T00:00:00.000009Z")


def test_a_step_that_failed_for_good_shows_its_error() -> None:
    """It is over."""
    failed = told(step_failed(retry_at=None))["a"]
    assert (failed.state, failed.error is not None, failed.finished_at is not None) == ("failed", True, True)


def test_steps_waits_and_calls_stand_in_the_order_of_their_beginning() -> None:
    """Whatever is over first."""
    shapes = told(called(3), opened(4, event(), sleep()), woken(5, "nap", wakes=True), step(6))
    assert list(shapes) == ["call", "approved", "nap", "a"]
    assert [shape.kind for shape in shapes.values()] == ["call", "event", "sleep", "step"]


def test_an_open_wait_says_what_it_waits_for() -> None:
    """Kind, name, match and time."""
    wait = event(until=50, match={"doc": Raw(b'"d1"')})
    shape = told(opened(3, wait))["approved"]
    assert (shape.state, shape.kind, shape.name, shape.match) == ("waiting", "event", "doc.approved", wait.match)
    assert (shape.until, shape.outcome, shape.attempt) == ("1970-01-01T00:00:00.000050Z", None, 1)


def test_a_wait_that_is_over_says_how() -> None:
    """With what came; its alternatives have lost."""
    shapes = told(
        opened(3, event(group="g"), sleep(group="g"), message()),
        woken(4, "approved", "event", result=Raw(b"7"), wakes=True, at=9),
    )
    assert (shapes["approved"].state, shapes["approved"].outcome, shapes["approved"].result) == (
        "completed", "event", Raw(b"7"),
    )  # fmt: skip
    assert (shapes["nap"].state, shapes["nap"].outcome) == ("completed", "lost")
    assert shapes["receive"].state == "waiting"


def test_what_is_open_is_closed_with_the_execution() -> None:
    """Nothing waits in what has ended, or is being undone."""
    for last in (f.Cancelled(n=4, at=9), compensating(4)):
        shape = told(opened(3, sleep()), last)["nap"]
        assert (shape.state, shape.outcome) == ("completed", "closed")


def test_a_token_used_early_or_refused_is_shown() -> None:
    """With the reason."""
    shape = told(woken(3, "pay", "rejected", error=REJECTED))["pay"]
    assert (shape.kind, shape.state, shape.outcome) == ("token", "completed", "rejected")
    assert shape.error is not None
    assert shape.error.message == "no"


def test_a_call_lists_its_children_with_their_states() -> None:
    """It is over with the last of them; a single one's result is its own."""
    facts = (called(3, CHILD, OTHER), opened(4, children("call", CHILD, OTHER, until=99)), child_done(5, OTHER))
    call = told(*facts)["call"]
    assert (call.state, call.until is not None) == ("waiting", True)
    assert call.children == [
        ChildShape(id=CHILD, function="add"), ChildShape(id=OTHER, function="add", state="succeeded"),
    ]  # fmt: skip
    assert told(*facts, child_done(6, wakes=True))["call"].outcome == "children"
    assert told(called(3), child_done(4))["call"].result == Raw(b"3")
    assert told(called(3, detached=True))["call"].outcome == "detached"


def test_a_call_that_timed_out_goes_on_listing_its_children() -> None:
    """They are still there."""
    facts = (called(3), opened(4, children(until=9)), woken(5, "call", "timed_out", wakes=True), child_done(6))
    call = told(*facts)["call"]
    assert (call.outcome, call.children[0].state) == ("timed_out", "succeeded")


def test_what_was_taken_over_stands_first() -> None:
    """Marked, and of no attempt of this execution."""
    shapes = operations_of(recorded(*RUNNING, step(3, "store")), inherited_from(STORY, "store"))
    assert [(each.step, each.inherited, each.attempt) for each in shapes] == [
        ("fetch", True, 0), ("nap", True, 0), ("call", True, 0), ("store", False, 1),
    ]  # fmt: skip
    assert [child.state for child in shapes[2].children] == ["succeeded", "succeeded"]


def test_an_undone_step_has_an_entry_of_its_own() -> None:
    """What was done and what undid it."""
    shapes = told(step(undo=True), compensating(4), f.Due(n=5, at=0), started(n=6, activation=5), step(7, "a~undo"))
    assert [(each.step, each.kind) for each in shapes.values()] == [("a", "step"), ("a~undo", "undo")]


# Attempts.

SUSPENDED = (opened(3, sleep()),)
GOING_ON = (*SUSPENDED, woken(4, "nap", wakes=True), started(n=5, activation=4, runner="r2", at=50))


def test_an_attempt_that_waits_and_goes_on_is_listed_once() -> None:
    """With its first start and its latest runner."""
    assert states(*SUSPENDED) == [(1, "waiting")]
    assert states(*GOING_ON) == [(1, "running")]
    (attempt,) = attempts_of(recorded(*RUNNING, *GOING_ON))
    assert (attempt.runner, attempt.started_at) == ("r2", "1970-01-01T00:00:00.000000Z")
    assert states(*GOING_ON, f.Succeeded(n=6, at=9, attempt=1)) == [(1, "succeeded")]
    assert states(opened(3, sleep(), suspends=False)) == [(1, "running")]


def test_attempts_after_waits_count_on() -> None:
    """Only failures and losses begin another."""
    again = (*GOING_ON, retry_scheduled(n=6), f.Due(n=7, at=0), started(n=8, activation=7, attempt=2))
    assert states(*again) == [(1, "failed"), (2, "running")]


def test_a_paused_attempt_has_failed() -> None:
    """The next one comes with the fix."""
    paused = (f.Paused(n=3, at=9, attempt=1, error=BOOM), f.Resumed(n=4, at=9))
    assert states(*paused, started(n=5, activation=4, attempt=2)) == [(1, "failed"), (2, "running")]


def test_undoing_changes_nothing_about_the_attempt_before_it() -> None:
    """It goes on under its number; what takes over from it is listed as undoing."""
    facts = (step(undo=True), compensating(4), f.Due(n=5, at=0), started(n=6, activation=5))
    assert states(*facts) == [(1, "failed")]
    more = (*facts, lost(n=7, activation=5), f.Due(n=8, at=0), started(n=9, activation=8, attempt=2))
    assert states(*more) == [(1, "failed"), (2, "undoing")]
    assert states(*more, f.Failed(n=10, at=0, attempt=2, error=BOOM)) == [(1, "failed"), (2, "undone")]
    assert states(*more, f.Failed(n=10, at=0, attempt=2, error=REJECTED)) == [(1, "failed"), (2, "failed")]


# Why it waits.


def waiting(*facts: f.AnyFact) -> Execution:
    return after(*RUNNING, *facts)


def test_why_names_every_wait_and_what_would_wake_it() -> None:
    """In sentences, with the times."""
    state = waiting(
        called(3, CHILD, OTHER),
        opened(
            4, sleep(), event(match={"doc": Raw(b'"d1"')}), message(until=60), token(),
            children("call", CHILD, OTHER),
        ),
    )  # fmt: skip
    why = why_waiting(state)
    assert (why.rule, why.at) == ("waiting", 60)
    assert "nap, approved, receive, pay, call" in why.detail
    for sentence in (
        "It is 1970-01-01T00:00:00.000100Z.",
        'An event doc.approved comes with data.doc = "d1".',
        "A message comes on channel default, or it is 1970-01-01T00:00:00.000060Z.",
        "Somebody uses the token of pay.",
        "The last 2 of 2 children end.",
    ):
        assert sentence in why.starts_when


def test_open_waits_are_told_to_programs() -> None:
    """With token, children and their states, and what they are alternatives of."""
    state = waiting(
        called(3, CHILD, OTHER),
        opened(4, event(group="g"), token(group="g"), children("call", CHILD, OTHER)),
        child_done(5),
    )
    waits = {each.step: each for each in waits_of(state, b"s" * 32, {OTHER: "running"})}
    assert waits["pay"].token is not None
    assert waits["pay"].token.startswith("pt_")
    assert waits["approved"].token is None
    assert waits["approved"].any_of == ["approved", "pay"]
    assert [(each.id, each.state) for each in waits["call"].children] == [(CHILD, "succeeded"), (OTHER, "running")]


def test_many_waits_are_summed_up() -> None:
    """The sentence stays a sentence."""
    why = why_waiting(waiting(opened(3, *(event(f"e{n}") for n in range(9)))))
    assert "and 4 more" in why.detail
    assert "One of 4 other waits" in why.starts_when


def test_a_paused_execution_says_what_failed_and_how_to_go_on() -> None:
    """The command stands there."""
    why = why_paused(after(*RUNNING, f.Paused(n=3, at=0, attempt=1, error=BOOM)))
    assert why.rule == "paused"
    assert "user_error: boom" in why.detail
    assert f"penstock executions resume {EXECUTION_ID}" in why.starts_when


def test_one_that_is_being_undone_says_so_first() -> None:
    """Its end and what is left."""
    facts = (step(undo=True), compensating(4, "cancelled"), f.Due(n=5, at=0), started(n=6, activation=5))
    assert undoing(waiting(*facts)) == "It is going to be cancelled (cancelled), with 1 step to be undone. "
    assert "nothing left" in undoing(waiting(*facts, step(7, "a~undo")))
    assert not undoing(waiting(step(undo=True)))
