"""Each control of flow control by one claim each, on facts alone."""

from flow_world import SECOND, World, frozen, restored
from penstock.domain.flow.admission import decide
from penstock.domain.flow.limits import Limit, RateLimit, Throttle
from penstock.domain.flow.snapshot import CHUNK_ITEMS
from penstock.domain.flow.why import why


def test_one_at_a_time_in_the_order_of_enqueue() -> None:
    """With concurrency 1 the next is admitted when the one before it has ended."""
    world = World()
    world.declare("f", concurrency=1)
    ids = [world.enqueue("f") for _ in range(5)]
    for _ in ids:
        admitted = world.admit()
        assert len(admitted) == 1
        world.succeed(admitted[0])
    assert world.started == ids


def test_others_pass_during_a_backoff() -> None:
    """Without fifo a retry's backoff holds no slot, and the retry comes back to the front."""
    world = World()
    world.declare("f", concurrency=1)
    first, second, third = (world.enqueue("f") for _ in range(3))
    assert world.admit() == [first]
    world.retry(first)
    assert world.admit() == [second]
    world.due(first)
    world.succeed(second)
    assert world.admit() == [first]
    world.succeed(first)
    assert world.admit() == [third]


def test_others_pass_during_a_wait() -> None:
    """A suspended execution holds no slot; woken, it comes back to the front."""
    world = World()
    world.declare("f", concurrency=1)
    first, second, third = (world.enqueue("f") for _ in range(3))
    for _ in range(2):
        assert world.admit() == [first]
        world.suspend(first)
        assert world.admit() == [second]
        world.wake(first)
        assert world.admit() == []
        world.suspend(second)
        assert world.admit() == [first]
        world.suspend(first)
        assert world.admit() == [third]
        world.wake(first)
        world.wake(second)
        world.suspend(third)
        world.wake(third)
    for each in (first, second, third):
        assert world.admit() == [each]
        world.succeed(each)


def test_fifo_keeps_its_slot_through_waits_and_goes_on_at_once() -> None:
    """Nothing passes it, while it waits for an event, for a fix, or to undo its steps."""
    world = World()
    world.declare("f", fifo=True)
    first, second = world.enqueue("f"), world.enqueue("f")
    assert world.admit() == [first]
    for leave in (world.suspend, world.halt):
        leave(first)
        assert world.admit() == []
        world.wake(first)
        assert world.admit() == [first]
    world.undo(first)
    assert world.admit() == [first]
    world.cancel(first)
    assert world.admit() == [second]


def test_an_ungated_execution_leaves_its_slot_to_others_while_it_waits() -> None:
    """It counts for the environment only while it runs."""
    world = World()
    world.declare("f", concurrency=5, limits=[Limit(5)])
    world.limit("environment", 1)
    plain = world.enqueue("g", gated=False)
    gated = world.enqueue("f")
    world.start(plain)
    assert world.admit() == []
    world.suspend(plain)
    assert world.admit() == [gated]
    world.succeed(gated)
    world.wake(plain)
    world.start(plain)
    other = world.enqueue("f")
    assert world.admit() == []
    world.halt(plain)
    assert world.admit() == [other]


def test_keep_newest_drops_nothing_that_has_begun() -> None:
    """One that comes back from a wait is no newcomer: only those that never ran give way."""
    world = World()
    world.declare("f", concurrency=1, at_limit="keep_newest")
    begun = world.enqueue("f")
    world.admit()
    world.suspend(begun)
    running = world.enqueue("f")
    world.admit()
    world.wake(begun)
    older, newer = world.enqueue("f"), world.enqueue("f")
    decision = world.decide()
    assert [item.id for item in decision.discarded] == [older]
    world.succeed(running)
    assert world.admit() == [begun]
    world.succeed(begun)
    assert world.admit() == [newer]


def test_fifo_waits_for_the_retry() -> None:
    """With fifo nothing passes until the one before is final, retries included."""
    world = World()
    world.declare("f", fifo=True)
    first, second = world.enqueue("f"), world.enqueue("f")
    assert world.admit() == [first]
    world.retry(first)
    assert world.admit() == []
    world.due(first)
    assert world.admit() == [first]
    world.succeed(first)
    assert world.admit() == [second]


def test_fifo_backoff_keeps_no_slot_of_the_environment() -> None:
    """A fifo function in its backoff blocks its own line and nobody else's."""
    world = World()
    world.declare("f", fifo=True)
    world.declare("g", concurrency=5)
    world.limit("environment", 1)
    first = world.enqueue("f")
    assert world.admit() == [first]
    other = world.enqueue("g")
    assert world.admit() == []
    world.retry(first)
    assert world.admit() == [other]
    world.due(first)
    assert world.admit() == []
    world.succeed(other)
    assert world.admit() == [first]


def test_environment_limit_is_shared_evenly_and_rebalanced() -> None:
    """Two functions of 10 under 10 run 5 and 5; a third gets its share as slots come free, and the limit holds."""
    world = World()
    for name in "abc":
        world.declare(name, concurrency=10)
    world.limit("environment", 10)
    for _ in range(40):
        world.enqueue("a")
    for _ in range(40):
        world.enqueue("b")
    world.admit()
    assert world.held_by_function() == {"a": 5, "b": 5}
    for _ in range(40):
        world.enqueue("c")
    for _ in range(9):
        busiest = max(world.held_by_function().items(), key=lambda each: (each[1], each[0]))[0]
        world.succeed(world.holding(busiest)[0])
        world.admit()
        assert len(world.holding()) == 10
    assert sorted(world.held_by_function().values()) == [3, 3, 4]


def test_what_one_function_cannot_use_the_others_get() -> None:
    """Fair shares are max-min: a small demand leaves its rest to the others."""
    world = World()
    world.declare("small", concurrency=10)
    world.declare("big", concurrency=10)
    world.limit("environment", 10)
    world.enqueue("small")
    for _ in range(30):
        world.enqueue("big")
    world.admit()
    assert world.held_by_function() == {"small": 1, "big": 9}


def test_each_key_has_the_limit() -> None:
    """`concurrency_key` gives each of its values the function's limit."""
    world = World()
    world.declare("f", concurrency=2, concurrency_key="args[0]")
    ann = [world.enqueue("f", concurrency="ann") for _ in range(3)]
    bob = [world.enqueue("f", concurrency="bob") for _ in range(3)]
    assert set(world.admit()) == {*ann[:2], *bob[:2]}
    world.succeed(bob[0])
    assert world.admit() == [bob[2]]


def test_several_limits_hold_at_once() -> None:
    """An execution needs room in all limits of its function."""
    world = World()
    world.declare("f", concurrency=3, limits=[Limit(1, key="args[0]"), Limit(2, key="args[1]")])
    ids = [world.enqueue("f", **{"limit:0": a, "limit:1": b}) for a, b in ("xp", "xq", "yp", "zp", "zq")]
    assert world.admit() == [ids[0], ids[2], ids[4]]
    world.succeed(ids[0])
    assert world.admit() == [ids[1]]


def test_a_named_limit_is_shared_between_functions() -> None:
    """Functions that name the same limit have its slots together, and the one with fewer goes first."""
    world = World()
    for name in "ab":
        world.declare(name, limits=[Limit(2, name="api")])
    a = [world.enqueue("a") for _ in range(3)]
    b = [world.enqueue("b") for _ in range(3)]
    assert set(world.admit()) == {a[0], b[0]}
    world.succeed(a[0])
    assert world.admit() == [a[1]]


def test_priority_is_an_offset_in_seconds() -> None:
    """Priority 5 overtakes what came up to five seconds earlier, and nothing older."""
    world = World()
    world.declare("f", concurrency=1)
    running = world.enqueue("f")
    assert world.admit() == [running]
    old = world.enqueue("f")
    world.now += 6 * SECOND
    young = world.enqueue("f")
    urgent = world.enqueue("f", priority=5)
    order = []
    for _ in range(3):
        world.succeed(world.holding()[0])
        order += world.admit()
    assert order == [old, urgent, young]


def test_keys_take_turns() -> None:
    """`round_robin` admits one of each key in turn, however many one key has waiting."""
    world = World()
    world.declare("f", concurrency=1, round_robin="args[0]")
    big = [world.enqueue("f", round_robin="big") for _ in range(4)]
    small = [world.enqueue("f", round_robin="small") for _ in range(2)]
    order = []
    for _ in range(6):
        order += world.admit()
        world.succeed(order[-1])
    assert order == [big[0], small[0], big[1], small[1], big[2], big[3]]


def test_turns_survive_a_refused_batch() -> None:
    """A decision that never reached the log costs no key its turn."""
    world = World()
    world.declare("f", concurrency=1, round_robin="args[0]")
    ids = [world.enqueue("f", round_robin=key) for key in "aabb"]
    before = frozen(world.state)
    for _ in range(3):
        world.refuse()
    assert frozen(world.state) == before
    assert world.admit() == [ids[0]]


def test_a_paused_function_keeps_everything() -> None:
    """While paused nothing is admitted; afterwards all come in their order."""
    world = World()
    world.declare("f", concurrency=2)
    world.declare("g", concurrency=2)
    world.pause("f")
    ids = [world.enqueue("f") for _ in range(3)]
    other = world.enqueue("g")
    assert world.admit() == [other]
    world.resume("f")
    assert world.admit() == ids[:2]


def test_a_paused_key_stops_only_itself() -> None:
    """Pausing a key leaves the other keys of the function alone."""
    world = World()
    world.declare("f", concurrency=1, concurrency_key="args[0]")
    ann, bob = world.enqueue("f", concurrency="ann"), world.enqueue("f", concurrency="bob")
    world.pause("f", "ann")
    assert world.admit() == [bob]
    world.resume("f", "ann")
    assert world.admit() == [ann]


def test_a_paused_environment_admits_nothing() -> None:
    """An environment pause covers every function."""
    world = World()
    world.declare("f", concurrency=1)
    world.pause()
    execution = world.enqueue("f")
    assert world.admit() == []
    world.resume()
    assert world.admit() == [execution]


def test_a_limit_changes_while_everything_runs() -> None:
    """Raising admits more at once; lowering takes no slot away and admits nobody until there is room."""
    world = World()
    world.declare("f", concurrency=1)
    ids = [world.enqueue("f") for _ in range(6)]
    assert world.admit() == ids[:1]
    world.limit("function:f", 3)
    assert world.admit() == ids[1:3]
    world.limit("function:f", 1)
    world.succeed(ids[0])
    world.succeed(ids[1])
    assert world.admit() == []
    world.succeed(ids[2])
    assert world.admit() == [ids[3]]
    world.limit("function:f", None)
    assert world.admit() == []


def test_throttle_delays_what_exceeds_it() -> None:
    """At most n are admitted in any period, the others later, and retries do not count."""
    world = World()
    world.declare("f", throttle=Throttle(2, 10.0))
    ids = [world.enqueue("f") for _ in range(4)]
    assert world.admit() == ids[:2]
    world.now += 9 * SECOND
    world.retry(ids[0])
    world.due(ids[0])
    assert world.admit() == []
    world.now += SECOND
    assert world.admit() == [ids[0], *ids[2:]]


def test_rate_limit_discards_what_exceeds_it() -> None:
    """What exceeds a rate limit ends as discarded with the reason, and the window moves on."""
    world = World()
    world.declare("f", rate_limit=RateLimit(1, 10.0, key="args[0]"))
    first, second, other = (world.enqueue("f", rate_limit=key) for key in "aab")
    decision = world.decide()
    assert {item.id for item in decision.admitted} == {first, other}
    assert [item.id for item in decision.discarded] == [second]
    error = world.executions[second].error
    assert error is not None
    assert error.code == "discarded"
    assert "rate limit" in error.message
    world.now += 10 * SECOND
    assert world.admit() == []
    later = world.enqueue("f", rate_limit="a")
    assert world.admit() == [later]


def test_reject_newest() -> None:
    """With `reject_newest` what comes while all slots are taken is discarded."""
    world = World()
    world.declare("f", concurrency=1, at_limit="reject_newest")
    first, second = world.enqueue("f"), world.enqueue("f")
    decision = world.decide()
    assert [item.id for item in decision.admitted] == [first]
    assert [item.id for item in decision.discarded] == [second]
    world.succeed(first)
    third = world.enqueue("f")
    assert world.admit() == [third]


def test_cancel_newest() -> None:
    """With `cancel_newest` it is cancelled, and says why; what a rate limit drops is discarded all the same."""
    world = World()
    world.declare("f", concurrency=1, at_limit="cancel_newest", rate_limit=RateLimit(2, 3600.0))
    first, second, third = (world.enqueue("f") for _ in range(3))
    assert world.admit() == [first]
    states = [world.executions[each] for each in (second, third)]
    assert [state.state for state in states] == ["cancelled", "discarded"]
    assert states[0].error is not None
    assert "concurrency of f" in states[0].error.message


def test_keep_newest() -> None:
    """With `keep_newest` only the newest waits; the older ones waiting are discarded, what runs stays."""
    world = World()
    world.declare("f", concurrency=1, at_limit="keep_newest")
    ids = [world.enqueue("f") for _ in range(4)]
    decision = world.decide()
    assert [item.id for item in decision.admitted] == [ids[0]]
    assert [item.id for item in decision.discarded] == ids[1:3]
    world.succeed(ids[0])
    assert world.admit() == [ids[3]]


def test_cancel_running() -> None:
    """With `cancel_running` what runs is stopped for what came later."""
    world = World()
    world.declare("f", concurrency=1, at_limit="cancel_running")
    first = world.enqueue("f")
    world.admit()
    world.start(first)
    second = world.enqueue("f")
    decision = world.decide()
    assert [item.id for item in decision.cancelled] == [first]
    assert world.admit() == [second]


def test_a_delayed_execution_queues_when_it_is_due() -> None:
    """A gated execution with a start time takes its place when that has come."""
    world = World()
    world.declare("f", concurrency=1)
    later = world.enqueue("f", run_at=world.now + SECOND)
    early = world.enqueue("f")
    world.now += SECOND
    world.due(later)
    assert world.admit() == [early]
    world.succeed(early)
    assert world.admit() == [later]


def test_running_ungated_executions_leave_less_room() -> None:
    """What needed no admission holds slots of the environment while it runs."""
    world = World()
    world.declare("f", concurrency=5)
    world.limit("environment", 2)
    ids = [world.enqueue("f") for _ in range(3)]
    free = world.enqueue("g", gated=False)
    world.start(free)
    assert world.admit() == ids[:1]


def test_a_declaration_counts_what_runs_already() -> None:
    """New options apply to what waits and what runs, at once."""
    world = World()
    world.declare("f", concurrency=4)
    ids = [world.enqueue("f", concurrency="a") for _ in range(5)]
    assert world.admit() == ids[:4]
    world.declare("f", concurrency=2, concurrency_key="args[0]")
    for done in ids[:3]:
        assert world.admit() == []
        world.succeed(done)
    assert world.admit() == [ids[4]]


def test_why_names_the_rule_the_holders_and_the_place() -> None:
    """What waits is told which limit blocks it, who holds the slots, and how many go first."""
    world = World()
    world.declare("f", concurrency=1)
    ids = [world.enqueue("f") for _ in range(3)]
    world.admit()
    answer = why(world.state, ids[2], world.now)
    assert answer is not None
    assert (answer.rule, answer.holders, answer.position, answer.limit) == ("concurrency", [ids[0]], 2, 1)
    assert why(world.state, ids[0], world.now) is None


def test_why_of_a_throttle_says_when() -> None:
    """Where the time alone decides, the time is told."""
    world = World()
    world.declare("f", throttle=Throttle(1, 60.0))
    first, second = world.enqueue("f"), world.enqueue("f")
    assert world.admit() == [first]
    answer = why(world.state, second, world.now)
    assert answer is not None
    assert (answer.rule, answer.at) == ("throttle", world.now + 60 * SECOND)


def test_a_snapshot_decides_as_the_fold_does() -> None:
    """A state read back from its snapshot is the same and admits the same."""
    world = World()
    world.declare("f", concurrency=2, concurrency_key="args[0]", throttle=Throttle(3, 60.0))
    for index in range(20):
        world.enqueue("f", concurrency=str(index % 5))
    world.admit(2)
    again = restored(world.state)
    assert frozen(again) == frozen(world.state)
    world.state, expected = again, world.admit
    assert len(expected()) == 1


def test_a_snapshot_of_many_has_several_chunks_and_loses_none() -> None:
    """Executions of one line may be in more than one, beside those that run or were dropped."""
    world = World()
    world.declare("f", concurrency=3)
    world.declare("g", concurrency=1, concurrency_key="args[0]", at_limit="reject_newest")
    for index in range(CHUNK_ITEMS + 500):
        world.enqueue("f", priority=index % 7)
        world.enqueue("g", concurrency=str(index % 900))
    world.admit(5)
    chunks = frozen(world.state)
    assert len(chunks) > 3
    again = restored(world.state)
    assert frozen(again) == chunks
    assert [item.id for item in decide(again, world.now, 900).admitted] == world.admit(900)
