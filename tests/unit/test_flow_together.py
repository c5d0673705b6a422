"""Executions that run for others: debounce, singletons and batches, by one claim each, on facts alone."""

import msgspec
import pytest

from flow_world import SECOND, World, frozen, restored
from penstock.domain.errors import Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.decide import decide
from penstock.domain.execution.state import State
from penstock.domain.flow.admission import opens_at
from penstock.domain.flow.limits import Batch, Debounce, RateLimit
from penstock.domain.flow.why import why
from penstock.domain.limits import batch_bytes_max, followers_max


def debounced(period: float = 5.0, max_delay: float | None = None) -> World:
    world = World()
    world.declare("f", debounce=Debounce(period, max_delay, key="args[0]"))
    return world


def collecting(size: int = 3, wait: float = 10.0, **options: object) -> World:
    world = World()
    world.declare("f", batch=Batch(size, wait, key="args[0]"), **options)
    return world


def singles(how: str = "attach", **options: object) -> World:
    world = World()
    world.declare("f", singleton=how, singleton_key="args[0]", **options)
    return world


def batch_of(world: World, member: str) -> str:
    """The batch that the execution joined."""
    assert world.executions[member].state is State.WAITING
    return world.executions[member].leader


# Debounce.


def test_the_newest_runs_when_it_has_been_quiet() -> None:
    """Earlier triggers join the newest, which runs when none has come for the period; all end with its outcome."""
    world = debounced(period=5.0)
    ids = []
    for _ in range(3):
        ids.append(world.enqueue("f", debounce="a"))
        world.now += 4 * SECOND
        assert world.admit() == []
    assert opens_at(world.state) == world.now + SECOND
    world.now += SECOND
    world.decide()
    assert world.admit() == [ids[2]]
    assert [world.executions[each].leader for each in ids] == [ids[2], ids[2], ""]
    world.succeed(ids[2])
    world.settle()
    assert [world.executions[each].state for each in ids] == [State.SUCCEEDED] * 3


def test_the_leader_lists_those_that_were_merged() -> None:
    """One fact of the newest names the earlier ones, in the order in which they came."""
    world = debounced()
    ids = [world.enqueue("f", debounce="a") for _ in range(3)]
    world.now += 5 * SECOND
    world.decide()
    followed = [fact for _, each, _, fact in world.log if each == ids[2] and isinstance(fact, f.Followed)]
    assert [(fact.followers, fact.reason) for fact in followed] == [(ids[:2], "debounce")]


def test_a_burst_that_never_ends_runs_after_the_maximum_delay() -> None:
    """`max_delay` counts from the first trigger; what comes later opens a new window."""
    world = debounced(period=5.0, max_delay=10.0)
    ids = []
    for _ in range(5):
        ids.append(world.enqueue("f", debounce="a"))
        world.decide()
        world.now += 2 * SECOND
    world.decide()
    late = world.enqueue("f", debounce="a")
    world.decide()
    assert world.started == [ids[4]]
    world.now += 5 * SECOND
    world.decide()
    assert world.admit() == [late]


def test_keys_are_debounced_apart() -> None:
    """A trigger of one key neither delays nor replaces those of another."""
    world = debounced(period=5.0)
    first = world.enqueue("f", debounce="a")
    world.now += 4 * SECOND
    second = world.enqueue("f", debounce="b")
    world.now += SECOND
    world.decide()
    assert world.admit() == [first]
    world.now += 4 * SECOND
    world.decide()
    assert world.admit() == [second]


def test_a_lone_trigger_follows_nobody_and_is_followed_by_nobody() -> None:
    """Its history only says that it was due."""
    world = debounced()
    only = world.enqueue("f", debounce="a")
    world.now += 5 * SECOND
    world.decide()
    assert [f.kind_of(fact) for _, each, _, fact in world.log if each == only] == ["enqueued", "due"]


def test_cancelling_the_newest_makes_the_one_before_it_the_newest() -> None:
    """A cancelled trigger takes nobody with it before anybody has joined it."""
    world = debounced()
    ids = [world.enqueue("f", debounce="a") for _ in range(3)]
    world.cancel(ids[2])
    world.now += 5 * SECOND
    world.decide()
    assert world.admit() == [ids[1]]
    assert world.executions[ids[0]].leader == ids[1]


def test_a_burst_larger_than_a_batch_joins_in_several_decisions() -> None:
    """The leader is admitted only when all have joined it, and all have joined the same."""
    world = debounced()
    ids = [world.enqueue("f", debounce="a") for _ in range(50)]
    world.now += 5 * SECOND
    admitted: list[str] = []
    while not admitted:
        admitted = world.admit(8)
        waiting = [each for each in ids[:-1] if not world.executions[each].leader]
        assert not (admitted and waiting)
    assert admitted == [ids[-1]]
    assert {world.executions[each].leader for each in ids[:-1]} == {ids[-1]}


def test_a_trigger_that_comes_while_others_join_opens_a_new_window() -> None:
    """The leader of a window is settled by the first fact that names its followers."""
    world = debounced()
    ids = [world.enqueue("f", debounce="a") for _ in range(10)]
    world.now += 5 * SECOND
    world.decide(4)
    late = world.enqueue("f", debounce="a")
    while world.admit(4) != [ids[-1]]:
        assert not world.executions[late].leader
    assert {world.executions[each].leader for each in ids[:-1]} == {ids[-1]}


@pytest.mark.parametrize("burst", [1, 3, 10])
def test_what_comes_between_a_decision_and_its_batch_opens_a_new_window(burst: int) -> None:
    """Its arguments are newer than those of the leader, and its time counts from itself."""
    world = debounced(period=5.0, max_delay=6.0)
    ids = [world.enqueue("f", debounce="a") for _ in range(burst)]
    late: list[str] = []
    world.now += 5 * SECOND
    world.decide(4, lambda: late.append(world.enqueue("f", debounce="a")))
    assert opens_at(world.state) in (0, world.now + 5 * SECOND)
    while world.admit(4) != [ids[-1]]:
        pass
    assert not world.executions[late[0]].leader
    answer = why(world.state, late[0], world.now)
    assert answer is not None
    assert answer.at == world.now + 5 * SECOND


def test_a_leader_cancelled_while_others_join_leaves_the_rest_to_the_next() -> None:
    """Those that had joined are cancelled with it; the newest of the others runs."""
    world = debounced()
    ids = [world.enqueue("f", debounce="a") for _ in range(10)]
    world.now += 5 * SECOND
    world.decide(4)
    joined = [each for each in ids if world.executions[each].leader]
    world.cancel(ids[-1])
    while not world.admit(4):
        pass
    world.settle()
    assert world.started == [ids[-2]]
    assert [world.executions[each].state for each in joined] == [State.CANCELLED] * len(joined)


@pytest.mark.timeout(120)
def test_a_burst_starts_when_as_many_as_may_follow_have_come() -> None:
    """The number of followers is bounded: at its edge the window closes early."""
    world = debounced(period=1000.0)
    for _ in range(followers_max):
        world.enqueue("f", debounce="a")
    assert opens_at(world.state) == world.now + 1000 * SECOND
    newest = world.enqueue("f", debounce="a")
    assert opens_at(world.state) == 0
    first = world.decide(499)
    assert first.joined[-1].execution_id == newest


# Singletons.


def test_the_second_follows_the_first_and_gets_its_result() -> None:
    """With `attach` whoever comes while one of its key is unfinished ends as that ends."""
    world = singles()
    first, second, other = (world.enqueue("f", singleton=key) for key in "aab")
    assert world.admit() == [first, other]
    world.follow()
    assert world.executions[second].leader == first
    assert world.executions[first].is_awaited
    third = world.enqueue("f", singleton="a")
    world.follow()
    world.succeed(first)
    world.settle()
    assert [world.executions[each].state for each in (second, third)] == [State.SUCCEEDED] * 2


def test_after_the_end_the_next_leads() -> None:
    """A singleton that is final leads nobody."""
    world = singles()
    first = world.enqueue("f", singleton="a")
    world.admit()
    world.succeed(first)
    assert world.admit() == []
    second = world.enqueue("f", singleton="a")
    assert world.admit() == [second]


def test_a_leader_that_ends_before_the_fact_leaves_its_followers_to_the_first_of_them() -> None:
    """Whoever was only about to follow runs after all."""
    world = singles()
    first = world.enqueue("f", singleton="a")
    world.admit()
    late = [world.enqueue("f", singleton="a") for _ in range(2)]
    world.succeed(first)
    assert world.admit() == [late[0]]
    world.follow()
    assert world.executions[late[1]].leader == late[0]


def test_a_dropped_one_says_who_was_there() -> None:
    """With `drop` the second is discarded, and names the one that had not ended."""
    world = singles("drop")
    first, second = world.enqueue("f", singleton="a"), world.enqueue("f", singleton="a")
    world.decide()
    error = world.executions[second].error
    assert error is not None
    assert (error.code, first in error.message) == ("discarded", True)


def test_a_retrying_leader_still_leads() -> None:
    """A backoff is no end."""
    world = singles()
    first = world.enqueue("f", singleton="a")
    world.admit()
    world.retry(first)
    second = world.enqueue("f", singleton="a")
    world.follow()
    assert world.executions[second].leader == first
    world.due(first)
    assert world.admit() == [first]


def test_cancelling_a_follower_ends_only_the_follower() -> None:
    """The leader and the other followers go on."""
    world = singles()
    first, second, third = (world.enqueue("f", singleton="a") for _ in range(3))
    world.admit()
    world.follow()
    world.cancel(second)
    world.succeed(first)
    world.settle()
    states = [world.executions[each].state for each in (first, second, third)]
    assert states == [State.SUCCEEDED, State.CANCELLED, State.SUCCEEDED]


def test_cancelling_the_leader_cancels_its_followers() -> None:
    """They get the same final state."""
    world = singles()
    first, second = world.enqueue("f", singleton="a"), world.enqueue("f", singleton="a")
    world.admit()
    world.follow()
    world.cancel(first)
    world.settle()
    assert world.executions[second].state is State.CANCELLED


def test_a_delayed_one_leads_from_its_time_on() -> None:
    """What is only scheduled is not there yet; when its time comes and another runs, it follows that."""
    world = singles()
    later = world.enqueue("f", singleton="a", run_at=world.now + SECOND)
    now = world.enqueue("f", singleton="a")
    assert world.admit() == [now]
    world.now += SECOND
    world.due(later)
    world.follow()
    assert world.executions[later].leader == now


def test_no_more_than_so_many_follow_one() -> None:
    """At the edge the next is discarded with the reason."""
    world = singles()
    leader = world.enqueue("f", singleton="a")
    world.admit()
    world.state.items[leader].followers = followers_max - 1
    last, surplus = world.enqueue("f", singleton="a"), world.enqueue("f", singleton="a")
    world.follow()
    world.decide()
    assert world.executions[last].leader == leader
    assert world.executions[surplus].state is State.DISCARDED


# Batches.


def test_a_full_batch_starts_at_once() -> None:
    """Its members join it in their order, each with its place, and it runs with their arguments."""
    world = collecting(size=3)
    ids = [world.enqueue("f", batch="a") for _ in range(3)]
    world.decide()
    batch = batch_of(world, ids[0])
    assert world.admit() == [batch]
    assert world.first[batch].members == ids
    assert [world.executions[each].index for each in ids] == [0, 1, 2]


def test_a_partial_batch_starts_when_its_first_has_waited() -> None:
    """`wait` counts from the first member, whatever comes later."""
    world = collecting(size=3, wait=10.0)
    first = world.enqueue("f", batch="a")
    world.now += 9 * SECOND
    second = world.enqueue("f", batch="a")
    world.decide()
    assert world.executions[first].state is State.QUEUED
    world.now += SECOND
    world.decide()
    assert world.first[batch_of(world, first)].members == [first, second]


def test_keys_are_collected_apart() -> None:
    """Each value of the key has batches of its own."""
    world = collecting(size=2)
    ids = [world.enqueue("f", batch=key) for key in "abab"]
    world.decide()
    assert [batch_of(world, each) for each in ids[:2]] == [batch_of(world, each) for each in ids[2:]]
    assert batch_of(world, ids[0]) != batch_of(world, ids[1])


def test_what_exceeds_a_batch_begins_the_next() -> None:
    """Seven items of batches of three are two full batches and one that waits."""
    world = collecting(size=3)
    ids = [world.enqueue("f", batch="a") for _ in range(7)]
    world.decide()
    assert len({batch_of(world, each) for each in ids[:6]}) == 2
    assert world.executions[ids[6]].state is State.QUEUED


def test_a_batch_starts_early_when_its_arguments_would_become_too_large() -> None:
    """Arguments in the object store count as the largest ones: only so many fit into one batch."""
    world = collecting(size=100)
    count = batch_bytes_max // (4 * 1024 * 1024)
    ids = [world.enqueue("f", batch="a", large=True) for _ in range(count)]
    world.decide()
    assert world.executions[ids[0]].state is State.QUEUED
    world.enqueue("f", batch="a", large=True)
    world.decide()
    assert world.first[batch_of(world, ids[0])].members == ids


def test_what_comes_between_a_decision_and_its_batch_waits_for_the_next() -> None:
    """And its time counts from itself."""
    world = collecting(size=3, wait=10.0)
    first = world.enqueue("f", batch="a")
    late: list[str] = []
    world.now += 10 * SECOND
    world.decide(1000, lambda: late.append(world.enqueue("f", batch="a")))
    assert world.first[batch_of(world, first)].members == [first]
    answer = why(world.state, late[0], world.now)
    assert answer is not None
    assert (answer.at, answer.position) == (world.now + 10 * SECOND, 1)


def test_a_cancelled_member_is_not_in_the_batch() -> None:
    """What is cancelled while it is being collected leaves its place to another."""
    world = collecting(size=2)
    gone = world.enqueue("f", batch="a")
    world.cancel(gone)
    ids = [world.enqueue("f", batch="a") for _ in range(2)]
    world.decide()
    assert world.first[batch_of(world, ids[0])].members == ids


def test_a_batch_is_one_execution_to_all_limits() -> None:
    """Concurrency counts batches, and members hold no slot."""
    world = collecting(size=2, concurrency=1)
    ids = [world.enqueue("f", batch="a") for _ in range(4)]
    world.decide()
    first, second = batch_of(world, ids[0]), batch_of(world, ids[2])
    assert world.admit() == [first]
    assert world.holding() == [first]
    world.succeed(first)
    assert world.admit() == [second]


def test_a_batch_goes_beyond_the_size_of_a_decision_rather_than_waiting_for_ever() -> None:
    """After refusals a scheduler decides on little at a time; a batch cannot be divided."""
    world = collecting(size=5)
    ids = [world.enqueue("f", batch="a") for _ in range(5)]
    assert world.decide(1).size == 6
    assert batch_of(world, ids[4])


def test_a_batch_has_the_priority_of_its_most_urgent_member() -> None:
    """And a trace of its own, whose id is its own."""
    world = collecting(size=2)
    ids = [world.enqueue("f", batch="a", priority=each) for each in (1, 5)]
    world.decide()
    batch = batch_of(world, ids[0])
    assert (world.first[batch].priority, world.first[batch].trace_id) == (5, batch)


# Together with the rest.


def test_a_rate_limit_counts_what_comes_of_a_burst() -> None:
    """Merged triggers use it up once; what exceeds it is discarded with all that joined it."""
    world = World()
    world.declare("f", debounce=Debounce(5.0), rate_limit=RateLimit(1, 100.0))
    for burst in range(2):
        ids = [world.enqueue("f") for _ in range(3)]
        world.now += 5 * SECOND
        world.decide()
        world.decide()
        if not burst:
            world.succeed(ids[-1])
        world.settle()
        wanted = State.DISCARDED if burst else State.SUCCEEDED
        assert [world.executions[each].state for each in ids] == [wanted] * 3


def test_new_options_hold_for_what_waits_together() -> None:
    """A function that is declared without its debounce or batch runs each of them."""
    world = collecting(size=3)
    ids = [world.enqueue("f", batch="a") for _ in range(2)]
    world.declare("f", concurrency=5)
    assert world.admit() == ids


def test_new_options_hold_for_what_was_about_to_follow() -> None:
    """A function that is no singleton any more runs the second too."""
    world = singles()
    ids = [world.enqueue("f", singleton="a") for _ in range(2)]
    world.declare("f", concurrency=5)
    assert world.admit() == ids


def test_a_follower_cannot_be_moved_nor_discarded_for_being_late() -> None:
    """It starts by nobody's leave but its leader's."""
    world = singles()
    leader, follower = world.enqueue("f", singleton="a"), world.enqueue("f", singleton="a")
    world.admit()
    world.follow()
    late = msgspec.structs.replace(world.executions[follower], discard_at=world.now)
    assert decide(late, c.WakeUp(), world.now) == []
    with pytest.raises(Rejected) as refusal:
        decide(late, c.Reschedule(), world.now)
    assert refusal.value.code == "wrong_state"
    assert leader in refusal.value.detail


def test_only_the_end_of_its_own_leader_ends_a_follower() -> None:
    """A settlement of somebody else, or a second one, decides nothing."""
    world = singles()
    leader, follower = world.enqueue("f", singleton="a"), world.enqueue("f", singleton="a")
    world.admit()
    world.follow()
    outcome = f.Succeeded(n=9, at=1, attempt=2, result=msgspec.Raw(b"7"))
    state = world.executions[follower]
    assert decide(state, c.Settle(leader="other", outcome=outcome), world.now) == []
    facts = decide(state, c.Settle(leader=leader, outcome=outcome), world.now)
    assert [(fact.n, fact.at, f.kind_of(fact)) for fact in facts] == [(state.n + 1, world.now, "succeeded")]


def test_the_failure_of_a_follower_names_its_leader() -> None:
    """Whoever tells people of it knows that it is the same one."""
    world = singles()
    leader, follower = world.enqueue("f", singleton="a"), world.enqueue("f", singleton="a")
    world.admit()
    world.follow()
    error = f.ErrorInfo(code="user_error")
    for outcome in (f.Failed(n=9, at=1, attempt=2, error=error), f.Cancelled(n=9, at=1), f.Discarded(n=9, at=1)):
        (fact,) = decide(world.executions[follower], c.Settle(leader=leader, outcome=outcome), world.now)
        assert (f.kind_of(fact), getattr(fact, "leader", None)) == (f.kind_of(outcome), leader)


@pytest.mark.parametrize(("kind", "joined"), [("debounce", 4), ("batch", 6), ("singleton", 4)])
def test_a_refused_decision_changes_nothing_and_a_snapshot_keeps_all(kind: str, joined: int) -> None:
    """What waits together is known from facts alone."""
    world = {"debounce": debounced, "batch": collecting, "singleton": singles}[kind]()
    for key in "aabbba":
        world.enqueue("f", **{kind: key})
    world.now += 20 * SECOND
    before = frozen(world.state)
    world.refuse()
    assert frozen(world.state) == before
    world.state = restored(world.state)
    assert frozen(world.state) == before
    world.decide()
    world.follow()
    assert sum(bool(each.leader) for each in world.executions.values()) == joined


# Why.


def test_why_of_a_debounce_names_the_newest_and_the_time() -> None:
    """Both what will run and what will not are told what happens to them."""
    world = debounced(period=5.0, max_delay=60.0)
    first, newest = world.enqueue("f", debounce="a"), world.enqueue("f", debounce="a")
    older, newer = why(world.state, first, world.now), why(world.state, newest, world.now)
    assert older is not None
    assert newer is not None
    assert (older.rule, older.holders, older.key, older.at) == ("debounce", [newest], "a", world.now + 5 * SECOND)
    assert (newer.rule, newer.holders) == ("debounce", [])
    assert "5 s" in newer.starts_when
    assert "60 s" in newer.starts_when


def test_why_of_a_batch_says_how_many_are_there() -> None:
    """And its place, and when it starts at the latest."""
    world = collecting(size=3, wait=10.0)
    first, second = world.enqueue("f", batch="a"), world.enqueue("f", batch="a")
    answer = why(world.state, second, world.now)
    assert answer is not None
    assert (answer.rule, answer.limit, answer.holders, answer.position) == ("batch", 3, [first, second], 2)
    assert answer.at == world.now + 10 * SECOND


def test_why_of_one_that_is_about_to_follow_names_its_leader() -> None:
    """Before the fact is in the log."""
    world = singles()
    first, second = world.enqueue("f", singleton="a"), world.enqueue("f", singleton="a")
    answer = why(world.state, second, world.now)
    assert answer is not None
    assert (answer.rule, answer.holders) == ("singleton", [first])
