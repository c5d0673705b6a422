"""What holds for all histories: a restart anywhere changes nothing of what is told."""

from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from notify_world import SECOND, World, rule
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.notify.watch import Watch, load_state

RULES = [
    rule("incidents", digest="30s", quiet="20s"),
    rule("each", group=False, on=["failed", "retrying"]),
    rule("rate", failure_rate={"above": 0.4, "within": "1m", "at_least": 3}),
    rule("queue", queue_older_than="15s"),
    rule("silent", schedule_silent="10s"),
]
KINDS = ["enqueued", "started", "failed", "succeeded", "retry_scheduled", "due", "tick", "time"]

steps = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 20)), min_size=5, max_size=60)


def play(world: World, kind: str, number: int, seconds: int) -> None:
    world.now += seconds * SECOND
    if kind == "time":
        world.after(0)
    elif kind == "tick":
        world.schedule(f"s{number}", world.now + 5 * SECOND)
    else:
        error = ErrorInfo(code="user_error", type=f"E{number % 2}") if kind in ("failed", "retry_scheduled") else None
        world.fact(kind, f"{number + 1:032x}", function=f"f{number % 2}", error=error)


@settings(max_examples=examples(60), deadline=None)
@given(history=steps, restarts=st.sets(st.integers(0, 59), max_size=5))
def test_a_restart_anywhere_changes_nothing(history: list[tuple[str, int, int]], restarts: set[int]) -> None:
    """Stored, loaded, and who waits read again from the log: the same notices with the same ids, in the same order."""
    whole, broken = World(*RULES), World(*RULES)
    for at, step in enumerate(history):
        play(whole, *step)
        play(broken, *step)
        if at in restarts:
            state = load_state(broken.watch.dump())
            broken.watch = Watch(RULES, state)
            for seen in broken.log[state.waiting_from : state.position]:
                broken.watch.recall(seen)
    assert broken.told == whole.told
    counted = [each.id for each in whole.told if each.rule in ("incidents", "each", "queue")]
    assert len(set(counted)) == len(counted)


@settings(max_examples=examples(60), deadline=None)
@given(history=steps)
def test_reading_it_again_tells_nothing_else(history: list[tuple[str, int, int]]) -> None:
    """A copy that reads the same facts again, after a crash, makes no notice that the log does not have already."""
    world = World(*RULES)
    for step in history:
        play(world, *step)
    watch = Watch(RULES[:2])
    again = [notice for seen in world.log for notice in watch.take(seen)]
    known = {each.id for each in world.told}
    assert {each.id for each in again if each.rule == "each"} <= known
