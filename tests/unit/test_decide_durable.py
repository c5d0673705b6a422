"""The rules of durable code, one claim each: steps, waits, children, messages."""

from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.state import State
from penstock.domain.limits import children_per_call_max, messages_unread_max
from penstock.testing.given import given
from unit.durable_histories import (
    CHILD,
    OTHER,
    REJECTED,
    RUNNING,
    called,
    child_done,
    child_ended,
    children,
    complete,
    event,
    fail_step,
    message,
    open_waits,
    opened,
    received,
    sleep,
    step,
    step_failed,
    tell,
    token,
    woken,
)
from unit.histories import BOOM, enqueued, fail, lost, retry_scheduled, start, started, succeed

WAKE = c.WakeUp()
DONE = f.Succeeded(n=3, at=5, attempt=1, result=Raw(b"3"))
RACED = (enqueued(), started(), f.CancelRequested(n=3, at=0))


# Steps.


def test_a_step_that_may_run_once_says_so_before() -> None:
    """After a crash the fact tells that it may have run."""
    begun = f.StepStarted(n=3, at=5, attempt=1, step="a", position=2)
    given(*RUNNING).when(c.BeginStep(activation=1, step="a", position=2), now=5).then(begun)


def test_a_step_that_has_begun_does_not_begin_again() -> None:
    """The runner looks at what is known before it runs the step."""
    history = (*RUNNING, f.StepStarted(n=3, at=0, attempt=1, step="a"))
    given(*history).when(c.BeginStep(activation=1, step="a")).nothing()
    given(*RUNNING, step()).when(c.BeginStep(activation=1, step="a")).nothing()


def test_a_step_keeps_its_place_and_whether_it_can_be_undone() -> None:
    """Replays compare the place; compensation needs the other."""
    command = c.CompleteStep(activation=1, step="a", started_at=0, result=Raw(b"1"), position=4, undo=True)
    given(*RUNNING).when(command).then(step(position=4, undo=True))


def test_a_failed_step_is_tried_again_by_its_own_policy() -> None:
    """The attempt of the function goes on."""
    given(*RUNNING).when(fail_step(), now=5).then(step_failed(at=5, retry_at=10_000_005))


def test_a_step_out_of_retries_has_failed_for_good() -> None:
    """Replays raise its error."""
    given(*RUNNING, step_failed()).when(fail_step(), now=9).then(step_failed(n=4, failures=2, retry_at=None, at=9))


def test_a_terminal_failure_of_a_step_is_not_retried() -> None:
    """It said that trying again is of no use."""
    given(*RUNNING).when(fail_step(terminal=True)).then(step_failed(retry_at=None))


def test_a_step_may_name_its_own_delay() -> None:
    """It goes before the policy."""
    given(*RUNNING).when(fail_step(retry_after=1.0), now=5).then(step_failed(at=5, retry_at=1_000_005))


@pytest.mark.parametrize("last", [step(), step_failed(retry_at=None)])
def test_a_step_that_is_over_neither_fails_nor_completes_again(last: f.AnyFact) -> None:
    """The first verdict stays."""
    given(*RUNNING, last).when(fail_step()).nothing()
    given(*RUNNING, last).when(c.CompleteStep(activation=1, step="a", started_at=0, result=Raw(b"2"))).nothing()


def test_a_step_completes_after_it_failed() -> None:
    """That is what retries are for."""
    command = c.CompleteStep(activation=1, step="a", started_at=0, result=Raw(b"1"))
    given(*RUNNING, step_failed()).when(command).then(step(n=4))


@pytest.mark.parametrize(
    "command",
    [
        c.BeginStep(activation=1, step="a"),
        fail_step(),
        open_waits(sleep()),
        c.CallChildren(activation=1, call="call", children=[f.Child(id=CHILD, function="add")]),
        c.ReportProgress(activation=1, done=1),
        c.FinishCompensation(activation=1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("history", [(*RUNNING, DONE), (*RUNNING, lost(), f.Due(n=4, at=0))])
def test_a_zombie_adds_nothing(command: c.AnyCommand, history: tuple[f.AnyFact, ...]) -> None:
    """Whatever its code goes on to do, its activation is over."""
    given(*history).when(command).rejected("activation_closed")


def test_progress_is_stored() -> None:
    """The latest counts."""
    command = c.ReportProgress(activation=1, done=3, total=10, note="pages")
    given(*RUNNING).when(command, now=5).then(f.Progressed(n=3, at=5, done=3, total=10, note="pages"))


# Opening waits.


def test_a_function_that_waits_gives_its_slot_back() -> None:
    """One fact opens the wait and closes the activation."""
    after = given(*RUNNING).when(open_waits(sleep()), now=5).then(opened(3, sleep(), at=5)).state
    assert after is not None
    assert (after.state, after.activation, after.owner, after.wakes_at) == (State.WAITING, 0, "", 100)


def test_a_wait_beside_running_work_keeps_the_slot() -> None:
    """Other branches of the function are still under way."""
    command = open_waits(sleep(), suspends=False)
    after = given(*RUNNING).when(command).then(opened(3, sleep(), suspends=False)).state
    assert after is not None
    assert (after.state, after.activation) == (State.RUNNING, 1)


def test_what_was_opened_beside_work_suspends_when_the_work_has_ended() -> None:
    """Nothing is opened twice."""
    history = (*RUNNING, opened(3, sleep(), suspends=False))
    given(*history).when(open_waits(sleep()), now=5).then(f.Suspended(n=4, at=5, wakes_at=100))


def test_the_next_look_is_at_the_first_time_of_all_waits() -> None:
    """Also of those opened before."""
    history = (*RUNNING, opened(3, sleep(until=50), suspends=False))
    command = open_waits(event(until=90), blocked=["nap", "approved"])
    expected = f.WaitOpened(n=4, at=0, waits=[event(until=90)], suspends=True, wakes_at=50)
    given(*history).when(command).then(expected)


def test_waiting_while_being_cancelled_does_not_suspend() -> None:
    """The runner has to stop it, and must not lose it."""
    given(*RACED).when(open_waits(sleep())).then(opened(4, sleep(), suspends=False))


def test_a_sleep_that_is_over_ends_at_once() -> None:
    """It costs no wake-up, and the function goes on."""
    after = given(*RUNNING).when(open_waits(sleep(until=5)), now=5).then(woken(3, "nap", at=5)).state
    assert after is not None
    assert (after.state, after.waits, after.ops["nap"].outcome) == (State.RUNNING, {}, "elapsed")


def test_a_sleep_is_not_over_a_microsecond_before() -> None:
    """Never early."""
    given(*RUNNING).when(open_waits(sleep(until=6)), now=5).then(opened(3, sleep(until=6), at=5))


def test_a_message_that_is_there_is_received_at_once() -> None:
    """The oldest of its channel."""
    history = (*RUNNING, received(3, "m1", "other"), received(4, "m2"), received(5, "m3"))
    outcome = given(*history).when(open_waits(message()))
    outcome.then(woken(6, "receive", "message", result=Raw(b'"hi"'), source="m2"))
    assert outcome.state is not None
    assert [one.message for kept in outcome.state.mailbox.values() for one in kept] == ["m1", "m3"]


def test_two_receivers_get_two_messages() -> None:
    """In the order in which they asked; the one without a message waits, and the function is not suspended."""
    command = open_waits(message("one"), message("two"))
    given(*RUNNING, received(3)).when(command).then(
        woken(4, "one", "message", result=Raw(b'"hi"'), source="m1"), opened(5, message("two"), suspends=False)
    )


def test_a_known_wait_is_not_opened_again() -> None:
    """A retry of the attempt asks for it once more, and its time stays what it was."""
    history = (*RUNNING, opened(3, sleep(), suspends=False), retry_scheduled(n=4), f.Due(n=5, at=100))
    again = (*history, started(n=6, activation=5, attempt=2))
    command = open_waits(sleep(until=999), activation=5)
    given(*again).when(command).then(f.Suspended(n=7, at=0, wakes_at=100))


def test_a_wait_that_is_over_is_not_opened_again() -> None:
    """Somebody ended it while the runner was about to wait: the function has to look first."""
    history = (*RUNNING, opened(3, event(), suspends=False), woken(4, "approved", "event", source="e1"))
    given(*history).when(open_waits(event())).nothing()


def test_a_token_used_before_its_wait_ends_it() -> None:
    """People may be faster than programs."""
    history = (*RUNNING, woken(3, "pay", "completed", source="s1"))
    given(*history).when(open_waits(token())).nothing()


def test_suspending_needs_something_that_wakes() -> None:
    """Without an open wait it would sleep for ever."""
    given(*RUNNING).when(open_waits()).nothing()
    given(*RUNNING).when(open_waits(sleep(until=0), blocked=[])).then(woken(3, "nap"))


# Alternatives.

EITHER = (event(group="g"), sleep(group="g"))


def test_the_first_of_several_waits_ends_the_others() -> None:
    """`wait_for_any`."""
    history = (*RUNNING, opened(3, *EITHER))
    outcome = given(*history).when(complete("approved", "event", source="e1"), now=9)
    outcome.then(woken(4, "approved", "event", at=9, result=Raw(b"7"), source="e1", wakes=True))
    assert outcome.state is not None
    assert outcome.state.waits == {}
    assert outcome.state.wakes_at is None


def test_a_loser_of_several_waits_cannot_be_completed() -> None:
    """Its event comes too late."""
    history = (*RUNNING, opened(3, *EITHER), woken(4, "nap", wakes=True))
    given(*history).when(complete("approved", "event")).rejected("wrong_state")


def test_one_wake_up_ends_one_of_several_waits_that_are_due() -> None:
    """Two that end at the same time have one winner."""
    history = (*RUNNING, opened(3, event(group="g", until=100), sleep(group="g")))
    given(*history).when(WAKE, now=100).then(woken(4, "approved", "timed_out", at=100, wakes=True))


def test_an_alternative_that_is_over_at_once_leaves_the_others_unopened() -> None:
    """They have lost already."""
    command = open_waits(event(group="g"), sleep(until=0, group="g"), token(group="g"))
    given(*RUNNING).when(command).then(woken(3, "nap"))


def test_alternatives_already_decided_are_not_opened_by_a_replay() -> None:
    """The loser stays the loser."""
    history = (*RUNNING, opened(3, *EITHER), woken(4, "nap", wakes=True), started(n=5, activation=4))
    given(*history).when(open_waits(*EITHER, activation=4)).nothing()


def test_groups_do_not_touch_each_other() -> None:
    """Nor waits without one."""
    history = (*RUNNING, opened(3, *EITHER, token(), event("other", group="h")))
    after = given(*history).when(WAKE, now=100).state
    assert after is not None
    assert list(after.waits) == ["pay", "other"]


def test_a_child_that_ends_first_ends_its_alternatives() -> None:
    """A call may be one of several."""
    history = (*RUNNING, called(), opened(4, children("call", CHILD, group="g"), sleep(group="g")))
    outcome = given(*history).when(child_ended(), now=5).then(child_done(5, at=5, wakes=True))
    assert outcome.state is not None
    assert outcome.state.waits == {}


# Ending waits.


def test_a_sleep_ends_at_its_time() -> None:
    """And makes the execution runnable."""
    history = (*RUNNING, opened(3, sleep()))
    after = given(*history).when(WAKE, now=100).then(woken(4, "nap", at=100, wakes=True)).state
    assert after is not None
    assert (after.state, after.activation) == (State.QUEUED, 4)


def test_a_wake_up_before_the_time_of_a_wait_decides_nothing() -> None:
    """Never early."""
    given(*RUNNING, opened(3, sleep())).when(WAKE, now=99).nothing()


def test_any_other_wait_times_out() -> None:
    """The function is told which of both it was."""
    history = (*RUNNING, opened(3, event(until=100)))
    given(*history).when(WAKE, now=100).then(woken(4, "approved", "timed_out", at=100, wakes=True))


def test_a_wait_without_an_end_never_times_out() -> None:
    """Only its event ends it."""
    given(*RUNNING, opened(3, event())).when(WAKE, now=10**18).nothing()


def test_waits_that_end_together_wake_once() -> None:
    """The first makes it runnable; all are over."""
    history = (*RUNNING, opened(3, sleep("a"), sleep("b"), sleep("c", until=200)))
    given(*history).when(WAKE, now=100).then(
        woken(4, "a", at=100, wakes=True, wakes_at=100), woken(5, "b", at=100, wakes_at=200)
    )


def test_a_wait_beside_running_work_ends_without_a_new_activation() -> None:
    """The runner has it and reads the fact."""
    history = (*RUNNING, opened(3, sleep(), suspends=False))
    after = given(*history).when(WAKE, now=100).then(woken(4, "nap", at=100)).state
    assert after is not None
    assert (after.state, after.activation, after.owner) == (State.RUNNING, 1, "r1")


def test_a_wake_up_of_a_gated_execution_queues_it_for_admission() -> None:
    """It gave its slot back when it was suspended."""
    gated = (enqueued(gated=True), f.Admitted(n=2, at=0), started(n=3, activation=2), opened(4, sleep()))
    after = given(*gated).when(WAKE, now=100).then(woken(5, "nap", at=100, wakes=True, gated=True)).state
    assert after is not None
    assert (after.state, after.activation) == (State.QUEUED, 0)
    admitted = (*gated, woken(5, "nap", wakes=True, gated=True), f.Admitted(n=6, at=0))
    given(*admitted).when(start(activation=6)).then(started(n=7, activation=6, attempt=1))


def test_an_event_ends_a_wait_once() -> None:
    """The same event again decides nothing, another one is too late."""
    history = (*RUNNING, opened(3, event()), woken(4, "approved", "event", source="e1", wakes=True))
    given(*history).when(complete("approved", "event", source="e1")).nothing()
    given(*history).when(complete("approved", "event", source="e2")).rejected("wrong_state")


def test_an_event_that_nobody_waits_for_is_refused() -> None:
    """The scheduler's view was old."""
    given(*RUNNING).when(complete("approved", "event")).rejected("wrong_state")


def test_a_token_says_yes_or_no() -> None:
    """With a value, or with a reason."""
    history = (*RUNNING, opened(3, token()))
    given(*history).when(complete("pay")).then(woken(4, "pay", "completed", result=Raw(b"7"), source="s1", wakes=True))
    given(*history).when(complete("pay", "rejected", error=REJECTED, result=Raw(b"null"))).then(
        woken(4, "pay", "rejected", error=REJECTED, source="s1", wakes=True)
    )


def test_a_token_is_good_before_its_wait_is_open() -> None:
    """It wakes nobody then."""
    given(*RUNNING).when(complete("pay", early=True)).then(woken(3, "pay", "completed", result=Raw(b"7"), source="s1"))


@pytest.mark.parametrize("opening", [(), (opened(3, token()),)])
def test_a_token_is_good_once(opening: tuple[f.AnyFact, ...]) -> None:
    """The same request again is fine; another answer comes too late."""
    history = (*RUNNING, *opening)
    used = woken(len(history) + 1, "pay", "completed", source="s1", wakes=bool(opening))
    given(*history, used).when(complete("pay", early=True)).nothing()
    given(*history, used).when(complete("pay", "rejected", source="s2", early=True)).rejected("wrong_state")


def test_a_token_of_an_ended_execution_is_refused() -> None:
    """Nobody will look at the answer."""
    given(*RUNNING, DONE).when(complete("pay", early=True)).rejected("wrong_state")


def test_a_token_after_its_time_is_refused() -> None:
    """The function went on without it."""
    history = (*RUNNING, opened(3, token(until=100)), woken(4, "pay", "timed_out", wakes=True))
    given(*history).when(complete("pay", early=True)).rejected("wrong_state")


def test_the_first_of_time_and_event_wins() -> None:
    """Whatever the order, the second decides nothing or is refused."""
    history = (*RUNNING, opened(3, event(until=100)))
    by_event = (*history, woken(4, "approved", "event", source="e1", wakes=True))
    given(*by_event).when(WAKE, now=100).nothing()
    by_time = (*history, woken(4, "approved", "timed_out", wakes=True))
    given(*by_time).when(complete("approved", "event")).rejected("wrong_state")


# Going on.


def test_an_attempt_that_goes_on_keeps_its_number() -> None:
    """`ctx.attempt` counts failures and losses, not waits."""
    history = (*RUNNING, opened(3, sleep()), woken(4, "nap", wakes=True))
    again = started(n=5, activation=4, attempt=1, runner="r2")
    given(*history).when(start(activation=4, runner="r2")).then(again)
    failing = fail(activation=4, retries=1)
    given(*history, again).when(failing, now=5).then(retry_scheduled(n=6, at=5, retry_at=10_000_005))


def test_an_attempt_that_failed_after_a_wait_is_followed_by_the_next() -> None:
    """Going on is over with the start."""
    history = (
        *RUNNING, opened(3, sleep()), woken(4, "nap", wakes=True), started(n=5, activation=4),
        retry_scheduled(n=6), f.Due(n=7, at=100),
    )  # fmt: skip
    given(*history).when(start(activation=7)).then(started(n=8, activation=7, attempt=2))


def test_an_attempt_that_is_lost_after_a_wait_is_followed_by_the_next() -> None:
    """The loss is one of this attempt."""
    history = (*RUNNING, opened(3, sleep()), woken(4, "nap", wakes=True), started(n=5, activation=4))
    lost_again = (*history, lost(n=6, activation=4), f.Due(n=7, at=0))
    given(*lost_again).when(start(activation=7)).then(started(n=8, activation=7, attempt=2))


def test_waits_survive_the_loss_of_their_attempt() -> None:
    """Their time goes on; what ended meanwhile is known to the next attempt."""
    history = (*RUNNING, opened(3, sleep(), suspends=False), lost(n=4), f.Due(n=5, at=0))
    given(*history).when(WAKE, now=100).then(woken(6, "nap", at=100))


def test_discard_at_does_not_touch_what_waits() -> None:
    """It was started in time."""
    history = (enqueued(discard_at=50), started(), opened(3, sleep()))
    given(*history).when(WAKE, now=100).then(woken(4, "nap", at=100, wakes=True))


def test_what_waits_cannot_be_moved() -> None:
    """It has started."""
    given(*RUNNING, opened(3, sleep())).when(c.Reschedule(run_at=500)).rejected("wrong_state")


# Children.


def test_a_call_names_its_children() -> None:
    """Their executions are made after this fact."""
    kids = [f.Child(id=CHILD, function="add")]
    given(*RUNNING).when(c.CallChildren(activation=1, call="call", children=kids)).then(called())


def test_a_call_is_made_once() -> None:
    """A replay finds it."""
    kids = [f.Child(id=OTHER, function="add")]
    given(*RUNNING, called()).when(c.CallChildren(activation=1, call="call", children=kids)).nothing()


@pytest.mark.parametrize("count", [children_per_call_max, children_per_call_max + 1])
def test_children_of_one_call_are_bounded(count: int) -> None:
    """The limit is exact."""
    kids = [f.Child(id=f"{number:032x}", function="add") for number in range(1, count + 1)]
    outcome = given(*RUNNING).when(c.CallChildren(activation=1, call="call", children=kids))
    if count > children_per_call_max:
        outcome.rejected("invalid_option")
    else:
        outcome.then(called(3, *(kid.id for kid in kids)))


def test_the_last_child_wakes_its_parent() -> None:
    """Not those before it."""
    history = (*RUNNING, called(3, CHILD, OTHER), opened(4, children("call", CHILD, OTHER)))
    given(*history).when(child_ended()).then(child_done(5))
    given(*history, child_done(5)).when(child_ended(OTHER)).then(child_done(6, OTHER, wakes=True))


def test_a_child_that_ends_while_its_parent_runs_wakes_nobody() -> None:
    """The runner reads the fact."""
    given(*RUNNING, called()).when(child_ended()).then(child_done(4))


def test_waiting_for_children_that_have_ended_does_not_suspend() -> None:
    """They were faster."""
    given(*RUNNING, called(), child_done(4)).when(open_waits(children())).nothing()


def test_a_child_ends_once() -> None:
    """A second report decides nothing."""
    given(*RUNNING, called(), child_done(4)).when(child_ended(state="failed")).nothing()


def test_a_detached_child_is_not_awaited() -> None:
    """Its end is no business of its parent's."""
    given(*RUNNING, called(detached=True)).when(child_ended()).nothing()


@pytest.mark.parametrize("history", [RUNNING, (*RUNNING, called(), f.Succeeded(n=4, at=0, attempt=1))])
def test_a_child_of_nobody_decides_nothing(history: tuple[f.AnyFact, ...]) -> None:
    """It is unknown, or its parent has ended."""
    given(*history).when(child_ended()).nothing()


def test_a_call_that_timed_out_stays_timed_out() -> None:
    """Its child may end later, which changes nothing on a replay."""
    history = (*RUNNING, called(), opened(4, children(until=100)), woken(5, "call", "timed_out", wakes=True))
    outcome = given(*history).when(child_ended()).then(child_done(6))
    assert outcome.state is not None
    assert outcome.state.ops["call"].outcome == "timed_out"
    assert outcome.state.ops["call"].n == 5


def test_the_next_look_of_a_parent_is_at_its_other_waits() -> None:
    """The ended child needs none."""
    history = (*RUNNING, called(), opened(4, children(until=50), sleep(until=90)))
    given(*history).when(child_ended()).then(child_done(5, wakes=True, wakes_at=90))


# Messages.


def test_a_message_is_kept_until_somebody_receives_it() -> None:
    """Also before the first attempt."""
    given(enqueued(run_at=100)).when(tell()).then(received(2))
    given(*RUNNING).when(tell()).then(received(3))


def test_a_message_ends_the_first_wait_on_its_channel() -> None:
    """It does not go through the mailbox."""
    history = (*RUNNING, opened(3, message("x", "other"), message("one"), message("two")))
    given(*history).when(tell()).then(woken(4, "one", "message", result=Raw(b'"hi"'), source="m1", wakes=True))


@pytest.mark.parametrize("first", [received(3), woken(3, "receive", "message", source="m1")])
def test_a_message_counts_once(first: f.AnyFact) -> None:
    """Whether it has been received or not, and after the end, too."""
    given(*RUNNING, first).when(tell()).nothing()
    given(*RUNNING, first, f.Succeeded(n=4, at=0, attempt=1)).when(tell()).nothing()


def test_an_ended_execution_takes_no_message() -> None:
    """Nobody would receive it."""
    given(*RUNNING, DONE).when(tell()).rejected("wrong_state")


def test_unread_messages_are_bounded() -> None:
    """Over all channels; one that is received makes room."""
    full = [received(n, f"m{n}", str(n % 2)) for n in range(3, 3 + messages_unread_max)]
    given(*RUNNING, *full[:-1]).when(tell()).then(received(2 + messages_unread_max))
    given(*RUNNING, *full).when(tell()).rejected("too_many_messages")
    read = woken(3 + messages_unread_max, "receive", "message", source="m3")
    given(*RUNNING, *full, read).when(tell()).then(received(4 + messages_unread_max))


@pytest.mark.parametrize("command", [tell(), complete("pay", early=True), child_ended()])
def test_what_comes_from_outside_leaves_a_running_attempt_its_activation(command: Any) -> None:
    """It moves the sequence, not the work."""
    after = given(*RUNNING, called()).when(command).state
    assert after is not None
    assert (after.state, after.activation, after.owner, after.attempt) == (State.RUNNING, 1, "r1", 1)


def test_success_with_open_waits_closes_them() -> None:
    """A branch that nobody awaits holds nothing open."""
    history = (*RUNNING, opened(3, sleep(), suspends=False))
    after = given(*history).when(succeed()).state
    assert after is not None
    assert (after.waits, after.wakes_at) == ({}, None)


def test_a_failure_of_a_waiting_branch_keeps_the_error_of_the_attempt() -> None:
    """What failed is retried; what waits, waits on."""
    history = (*RUNNING, opened(3, sleep(until=10**12), suspends=False))
    after = given(*history).when(fail(retries=1), now=5).then(retry_scheduled(n=4, at=5, retry_at=10_000_005)).state
    assert after is not None
    assert (after.error, list(after.waits), after.wakes_at) == (BOOM, ["nap"], 10_000_005)


@pytest.mark.parametrize(("wait", "outcome"), [(sleep(until=100), "elapsed"), (event("nap", until=100), "timed_out")])
def test_a_wait_of_an_earlier_attempt_ends_when_it_said_then(wait: f.Wait, outcome: str) -> None:
    """Its wake-up may have come while nothing ran; the later time that the new attempt says does not count."""
    again = (retry_scheduled(4), f.Due(n=5, at=0), started(6, activation=5, attempt=2))
    command = c.OpenWaits(activation=5, waits=[replace(wait, until=500)], suspends=True)
    given(*RUNNING, opened(3, wait, suspends=False), *again).when(command, now=150).then(
        woken(7, "nap", outcome, at=150)
    )


def test_of_waits_with_one_key_the_first_counts() -> None:
    """A second one that is over already would otherwise leave the first open for ever."""
    command = c.OpenWaits(activation=1, waits=[sleep(until=100), sleep(until=1)], suspends=True)
    given(*RUNNING).when(command, now=50).then(opened(3, sleep(until=100), suspends=True, at=50))
