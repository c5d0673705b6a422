"""Conditions: told when they begin to hold and when they no longer do."""

import msgspec

from notify_world import MINUTE, SECOND, World, abouts, rule
from penstock.domain.notify.conditions import Measured
from penstock.domain.notify.seen import Seen
from penstock.domain.notify.waiting import Waiting
from penstock.domain.notify.watch import Watch, load_state


def test_a_failure_rate_is_told_above_its_limit_and_when_it_is_down() -> None:
    """At the limit nothing is told, and not before there are enough executions to speak of a rate."""
    world = World(rule(failure_rate={"above": 0.5, "within": "10m", "at_least": 4}))
    for kind in ("failed", "failed", "succeeded"):
        world.fact(kind)
    assert world.after(2 * SECOND) == []
    world.fact("succeeded")
    assert world.after(2 * SECOND) == []
    world.fact("failed")
    told = world.after(2 * SECOND)
    assert [(each.about, each.text) for each in told] == [
        ("failure_rate", "add: 3 of the last 5 executions failed (10 min).")
    ]
    over = world.after(11 * MINUTE)
    assert [(each.about, each.over, each.incident) for each in over] == [("failure_rate", True, told[0].id)]


def test_a_queue_that_is_too_old_is_told() -> None:
    """With the oldest of those that wait; it is over when that one has started."""
    world = World(rule(queue_older_than="5m", functions=["add"]))
    world.fact("enqueued", "a" * 32)
    world.fact("enqueued", "b" * 32)
    world.fact("enqueued", "c" * 32, waits=True)
    world.fact("enqueued", "d" * 32, function="other")
    assert world.after(5 * MINUTE) == []
    told = world.after(SECOND)
    assert abouts(told) == ["queue_older_than"]
    assert told[0].text == "add: 2 executions wait, the oldest for 5 min 1 s."
    assert told[0].execution_id == "a" * 32
    world.fact("started", "a" * 32)
    world.fact("cancelled", "b" * 32)
    assert [each.over for each in world.after(SECOND)] == [True]


def test_a_retry_waits_only_when_its_backoff_is_over() -> None:
    """From `due` on it could run."""
    world = World(rule(queue_older_than="1m"))
    world.fact("enqueued", "a" * 32)
    world.fact("started", "a" * 32)
    world.fact("retry_scheduled", "a" * 32)
    assert world.after(10 * MINUTE) == []
    world.fact("due", "a" * 32)
    assert world.after(MINUTE) == []
    assert abouts(world.after(SECOND)) == ["queue_older_than"]


def test_one_that_follows_another_waits_in_no_queue() -> None:
    """It joined a batch or a leader, and is never started itself."""
    world = World(rule(queue_older_than="1m"))
    world.fact("enqueued", "a" * 32)
    world.fact("joined", "a" * 32)
    assert world.after(10 * MINUTE) == []


def test_a_function_without_a_runner_is_told_only_if_it_was_measured() -> None:
    """Waiting long is no proof: runners may be busy. Those that are suspect are asked about."""
    world = World(rule(no_runner="1m"))
    world.fact("enqueued", "a" * 32)
    assert world.watch.suspects(world.now + MINUTE) == []
    assert world.watch.suspects(world.now + MINUTE + 1) == ["add"]
    assert world.after(2 * MINUTE) == []
    told = world.after(SECOND, Measured(frozenset({"add"})))
    assert told[0].text == "No runner has add; 1 execution waits for 2 min 1 s."
    assert [each.over for each in world.after(SECOND)] == [True]


def test_a_silent_schedule_is_told() -> None:
    """Once per missing tick; the next tick ends it."""
    world = World(rule(schedule_silent="10m"))
    world.schedule("brief", world.now + MINUTE)
    world.schedule("paused", None)
    assert world.after(11 * MINUTE) == []
    told = world.after(SECOND)
    assert [(each.schedule, each.function) for each in told] == [("brief", "")]
    assert world.after(MINUTE) == []
    world.schedule("brief", world.now + MINUTE)
    assert [each.over for each in world.after(SECOND)] == [True]


def test_a_view_that_is_behind_is_told() -> None:
    """For longer than the limit, and when it has caught up."""
    world = World(rule(view_lag="30s"))
    since = world.now
    assert world.after(30 * SECOND, Measured(view_behind_since=since)) == []
    assert abouts(world.after(1, Measured(view_behind_since=since))) == ["view_lag"]
    assert [each.over for each in world.after(SECOND)] == [True]


def test_who_waits_is_known_again_after_a_restart() -> None:
    """The log is read again from the oldest that waits, and facts before the stored position only tell who waits."""
    first = World(rule(queue_older_than="5m"))
    first.fact("enqueued", "a" * 32)
    first.fact("started", "a" * 32)
    first.fact("enqueued", "b" * 32)
    first.fact("enqueued", "c" * 32)
    state = load_state(first.watch.dump())
    assert (state.position, state.waiting_from) == (4, 2)
    second = Watch([rule(queue_older_than="5m")], state)
    for seen in first.log[state.waiting_from :]:
        second.recall(seen)
    assert second.waiting.oldest("add") == first.watch.waiting.oldest("add")
    assert second.waiting.count("add") == 2


def test_what_waits_is_bounded() -> None:
    """At the limit the older ones are kept."""
    waiting = Waiting(room=2)
    first = Seen(sequence=1, kind="enqueued", at=1, execution_id="1", function="f")
    for number in (1, 2, 3):
        waiting.take(msgspec.structs.replace(first, sequence=number, execution_id=str(number)))
    assert (waiting.count("f"), waiting.oldest("f")) == (2, ("1", 1))
