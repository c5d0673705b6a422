"""Which facts a rule is about, and what becomes of many of them."""

import msgspec

from notify_world import BOOM, MINUTE, World, abouts, rule
from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.notify.incidents import INCIDENTS_MAX, Incidents
from penstock.domain.notify.notice import STACK_CHARS_MAX, STACK_LINES_MAX, fingerprint, shortened
from penstock.domain.notify.watch import Watch, load_state


def test_the_first_failure_is_told_at_once_and_the_others_in_a_digest() -> None:
    """One message for the first, one for all that followed within the digest time."""
    world = World(rule(digest="10m"))
    assert abouts(world.fail()) == ["failed"]
    assert [world.fail() for _ in range(3)] == [[], [], []]
    assert world.after(9 * MINUTE) == []
    digest = world.after(MINUTE)
    assert abouts(digest) == ["digest"]
    assert (digest[0].count, digest[0].incident) == (4, world.told[0].id)
    assert "3 times more, 4 in all: ValueError: boom 17" in digest[0].text
    assert world.after(60 * MINUTE) == []


def test_it_has_recovered_when_it_succeeds_and_stays_quiet() -> None:
    """A success between failures is no recovery; one after the last of them is, after the quiet time."""
    world = World(rule(quiet="5m"))
    world.fail()
    world.fact("succeeded")
    world.after(MINUTE)
    assert world.fail() == []
    assert world.after(4 * MINUTE) == []
    world.fact("succeeded")
    recovered = world.after(MINUTE)
    assert abouts(recovered) == ["recovered"]
    assert (recovered[0].incident, recovered[0].is_good, recovered[0].count) == (world.told[0].id, True, 2)
    assert abouts(world.fail()) == ["failed"]


def test_without_recovered_the_rest_of_an_incident_is_still_told() -> None:
    """Failures after the first one would otherwise be lost with the incident."""
    world = World(rule(on=["failed"], quiet="0s"))
    world.fail()
    world.fail()
    world.fact("succeeded")
    assert abouts(world.after(1)) == ["digest"]


def test_only_the_first_of_a_group_is_told_if_so_wanted() -> None:
    """No digest, but the recovery."""
    world = World(rule(first_of_group=True, digest="1m"))
    world.fail()
    world.fail()
    assert world.after(2 * MINUTE) == []
    world.fact("succeeded")
    assert abouts(world.after(10 * MINUTE)) == ["recovered"]


def test_followers_that_end_as_their_leader_did_are_no_news() -> None:
    """A batch of three that fails is told once, and its recovery has the number of all."""
    world = World(rule(digest="10m", quiet="5m"))
    assert abouts(world.fail(execution_id="leader")) == ["failed"]
    assert [world.fail(leader="leader") for _ in range(3)] == [[], [], []]
    assert world.after(60 * MINUTE) == []
    world.fact("succeeded")
    (recovered,) = world.after(MINUTE)
    assert (recovered.about, recovered.count) == ("recovered", 4)


def test_a_second_failing_batch_is_one_digest_of_all_its_members() -> None:
    """Who is told of it later hears how many it concerns."""
    world = World(rule(digest="10m"))
    for leader in ("one", "two"):
        world.fail(execution_id=leader)
        for _ in range(3):
            world.fail(leader=leader)
    (digest,) = world.after(10 * MINUTE)
    assert "4 times more, 8 in all" in digest.text


def test_a_follower_speaks_for_a_leader_that_the_rule_is_not_about() -> None:
    """The execution of a batch has no metadata: the first member that fits is told, and no other."""
    world = World(rule(metadata={"tier": "1"}))
    assert world.fail(execution_id="leader", metadata={}) == []
    assert abouts(world.fail(leader="leader", metadata={"tier": "1"})) == ["failed"]
    assert world.fail(leader="leader", metadata={"tier": "1"}) == []
    assert world.after(60 * MINUTE) == []


def test_without_groups_each_follower_is_told() -> None:
    """Whoever asks for each execution gets each."""
    world = World(rule(group=False))
    world.fail(execution_id="leader")
    assert abouts(world.fail(leader="leader")) == ["failed"]


def test_other_functions_and_other_errors_are_other_incidents() -> None:
    """Grouped are those of one function with one cause; numbers in the message do not make another cause."""
    world = World(rule())
    assert len(world.fail()) == 1
    assert len(world.fail(function="other")) == 1
    assert len(world.fail(error=ErrorInfo(code="crashed"))) == 1
    assert len(world.fail(error=msgspec.structs.replace(BOOM, message="boom 18"))) == 0


def test_without_grouping_each_is_told() -> None:
    """Each with an id of its own."""
    world = World(rule(group=False))
    ids = {world.fail()[0].id for _ in range(3)}
    assert len(ids) == 3


def test_a_rule_chooses_by_function_code_and_outcome() -> None:
    """A pattern of names, codes of the catalogue, outcomes; what is not chosen is not told."""
    world = World(rule(on=["failed", "discarded"], functions=["pay_*"], codes=["timed_out", "discarded"], group=False))
    assert world.fail(function="pay_now") == []
    assert world.fail(function="add", error=ErrorInfo(code="timed_out")) == []
    assert abouts(world.fail(function="pay_now", error=ErrorInfo(code="timed_out"))) == ["failed"]
    (discarded,) = world.fact("discarded", function="pay_now", reason="too late")
    assert (discarded.about, discarded.text) == ("discarded", "pay_now was discarded: too late")
    assert world.fact("cancelled", function="pay_now") == []


def test_a_rule_chooses_by_metadata() -> None:
    """AND across keys, OR inside one; only such rules ask for it."""
    world = World(rule(metadata={"team": ["a", "b"], "tier": "1"}, group=False))
    assert world.fail(metadata={"team": "a", "tier": "2"}) == []
    assert len(world.fail(metadata={"team": "b", "tier": "1"})) == 1
    assert world.watch.wants_metadata(world.log[-1])
    assert not Watch([rule()]).wants_metadata(world.log[-1])


def test_an_attempt_that_will_be_tried_again_is_told_only_if_wanted() -> None:
    """Off unless `on` names it."""
    quiet, loud = World(rule()), World(rule(on=["retrying"]))
    assert quiet.fact("retry_scheduled", attempt=1, error=BOOM) == []
    assert abouts(loud.fact("retry_scheduled", attempt=1, error=BOOM)) == ["retrying"]


def test_one_that_waits_to_be_mended_is_told() -> None:
    """Nothing goes on by itself there."""
    told = World(rule()).fact("paused", attempt=4, error=BOOM)
    assert [each.text for each in told] == ["add failed and waits to be resumed: ValueError: boom 17"]


def test_a_success_can_be_told() -> None:
    """Each for itself: successes make no incidents."""
    world = World(rule(on=["succeeded"]))
    assert [len(world.fact("succeeded")) for _ in range(2)] == [1, 1]


def test_the_same_log_gives_the_same_ids() -> None:
    """Whoever looks, live or later, on facts alone: a second copy of the notifier tells nothing else."""
    live = World(rule(digest="1m"), rule("other", group=False))
    for _ in range(20):
        live.fail()
        live.now += 20_000_000
    live.fact("succeeded")
    replayed = Watch([rule(digest="1m"), rule("other", group=False)])
    again = [notice for seen in live.log for notice in replayed.take(seen)]
    assert [each.id for each in again] == [each.id for each in live.told]
    assert len({each.id for each in again}) == len(again) > 20


def test_a_stored_state_goes_on_as_if_nothing_had_happened() -> None:
    """Stored and loaded anywhere, the rules say what they would have said; facts that were seen are passed over."""
    whole, first = World(rule(digest="1m")), World(rule(digest="1m"))
    for world in (whole, first):
        world.fail()
        world.fail()
    second = World(rule(digest="1m"), state=load_state(first.watch.dump()))
    second.log = first.log
    assert list(second.watch.take(first.log[-1])) == []
    for world in (whole, second):
        world.now = first.now
        world.fail()
        world.after(MINUTE)
    assert second.told == whole.told[1:]
    assert second.told[0].count == 3


def test_a_rule_that_says_something_else_begins_anew() -> None:
    """It judges what comes from then on, not the past; other channels are no other meaning."""
    first = World(rule())
    first.fail()
    same = rule()
    same = msgspec.structs.replace(same, channels=["elsewhere"])
    assert Watch([same], load_state(first.watch.dump())).state.rules["r"].incidents.open
    changed = Watch([rule(codes=["user_error"])], load_state(first.watch.dump()))
    assert not changed.state.rules["r"].incidents.open
    assert changed.state.rules["r"].since == 1


def test_incidents_are_bounded() -> None:
    """At the limit the one that has been quiet longest gives way."""
    world = World(rule())
    for number in range(INCIDENTS_MAX + 1):
        world.now += 1
        world.fail(function=f"f{number}")
    incidents: Incidents = world.watch.state.rules["r"].incidents
    functions = {each.function for each in incidents.open.values()}
    assert len(functions) == INCIDENTS_MAX
    assert "f0" not in functions


def test_an_incident_that_nobody_hears_of_is_forgotten() -> None:
    """After a week, without a word."""
    world = World(rule())
    world.fail()
    assert world.after(8 * 24 * 60 * MINUTE) == []
    assert not world.watch.state.rules["r"].incidents.open


def test_the_fingerprint_is_the_place_and_not_the_line() -> None:
    """A deployment moves lines; another function in the innermost frame is another cause."""
    stack = (
        'Traceback\n  File "a.py", line 3, in f\n    g()\n  File "b.py", line {line}, in {name}\n    x\nValueError: 1'
    )

    def error(line: int, name: str) -> ErrorInfo:
        return ErrorInfo(
            code="user_error", type="ValueError", message=str(line), stack=stack.format(line=line, name=name)
        )

    assert fingerprint(error(1, "g")) == fingerprint(error(99, "g"))
    assert fingerprint(error(1, "g")) != fingerprint(error(1, "h"))


def test_a_long_stack_is_shortened_to_its_end() -> None:
    """The reason stands there."""
    short = shortened(
        ErrorInfo(code="user_error", message="m" * 1000, stack="\n".join(f"line {n}" for n in range(500)))
    )
    assert short is not None
    assert short.stack.splitlines()[0] == "..."
    assert short.stack.splitlines()[-1] == "line 499"
    assert len(short.stack.splitlines()) == STACK_LINES_MAX + 1
    assert len(short.message) == 300
    wide = shortened(ErrorInfo(code="user_error", stack="x" * 5000))
    assert wide is not None
    assert len(wide.stack) == STACK_CHARS_MAX + 3
