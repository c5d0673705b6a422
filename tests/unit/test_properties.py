"""What holds for every execution, whatever is asked of it in whatever order."""

import functools

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from examples import examples
from penstock.domain.errors import CATALOGUE, Rejected
from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.decide import decide
from penstock.domain.execution.evolve import evolve, fold
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.execution.state import Execution, State
from penstock.testing.given import EXECUTION_ID
from penstock.wire.codec import decode_fact, encode_fact
from unit.histories import BOOM, enqueued

times = st.none() | st.integers(1, 60)
runners = st.sampled_from(["r1", "r2"])
reasons = st.sampled_from(["lapsed", "crashed", "drained"])
policies = st.builds(RetryPolicy, retries=st.integers(0, 2), shape=st.just("fixed"), initial=st.just(0.00001))
KIDS = [f.Child(id="c1" * 16, function="add"), f.Child(id="c2" * 16, function="add")]
waits = st.builds(
    f.Wait, key=st.sampled_from("uvwx"), wait=st.sampled_from(["sleep", "event", "token", "children", "message"]),
    until=times, group=st.sampled_from(["", "", "g"]), name=st.sampled_from(["default", "other"]),
)  # fmt: skip
first = st.builds(enqueued, run_at=times, discard_at=times, gated=st.booleans())


@st.composite
def commands(draw: st.DrawFn, activation: int) -> c.AnyCommand:
    """Any command; most name the open activation, some an older one."""
    return draw(any_command(draw(st.sampled_from([activation, activation, activation, 1, 0]))))


@functools.cache
def any_command(number: int) -> st.SearchStrategy[c.AnyCommand]:
    """Any command about activation `number`."""
    activation = st.just(number)
    return st.one_of(
        st.builds(c.Start, activation=activation, runner=runners),
        st.builds(c.Start, activation=activation, runner=runners),
        st.builds(c.Succeed, activation=activation, result=st.just(Raw(b"1"))),
        st.builds(
            c.Fail, activation=activation, error=st.just(BOOM), policy=policies, terminal=st.booleans(),
            retry_after=st.none() | st.floats(0, 0.0001), pause=st.booleans(),
        ),
        st.builds(c.LoseAttempt, activation=activation, reason=reasons),
        st.just(c.WakeUp()),
        st.just(c.WakeUp()),
        st.builds(c.RequestCancel, force=st.booleans()),
        st.builds(c.ConfirmCancel, activation=activation),
        st.builds(c.Reschedule, run_at=times),
        durable(number),
    )  # fmt: skip


def durable(number: int) -> st.SearchStrategy[c.AnyCommand]:
    """Any command about steps, waits, children, messages and undoing."""
    activation = st.just(number)
    one_step = {"activation": activation, "step": st.sampled_from(["a", "b", "a~undo"]), "started_at": st.just(0)}
    return st.one_of(
        st.builds(c.CompleteStep, **one_step, result=st.just(Raw(b"1")), undo=st.booleans()),
        st.builds(c.FailStep, **one_step, error=st.just(BOOM), policy=policies, terminal=st.booleans()),
        st.builds(c.BeginStep, activation=activation, step=st.sampled_from("ab")),
        st.builds(
            c.OpenWaits, activation=activation, waits=st.lists(waits, max_size=3, unique_by=lambda wait: wait.key),
            suspends=st.booleans(),
        ),
        st.builds(
            c.OpenWaits, activation=activation, waits=st.lists(waits, min_size=1, max_size=2), suspends=st.just(True)
        ),
        st.builds(
            c.CompleteWait, wait=st.sampled_from("uvwx"), outcome=st.sampled_from(["event", "completed", "rejected"]),
            source=st.sampled_from(["s1", "s2"]), early=st.booleans(),
        ),
        st.builds(
            c.CallChildren, activation=activation, call=st.sampled_from("wx"),
            children=st.lists(st.sampled_from(KIDS), min_size=1, unique_by=lambda kid: kid.id),
            detached=st.booleans(),
        ),
        st.builds(c.CompleteChild, child=st.sampled_from([kid.id for kid in KIDS]),
            state=st.sampled_from(["succeeded", "failed"])),
        st.builds(
            c.ReceiveMessage, message=st.sampled_from(["m1", "m2", "m3"]),
            channel=st.sampled_from(["default", "other"]), body=st.just(Raw(b"1")),
        ),
        st.builds(c.ReportProgress, activation=activation, done=st.floats(0, 9)),
        st.just(c.Resume()),
        st.builds(c.FinishCompensation, activation=activation),
    )  # fmt: skip


def closes(state: Execution, fact: f.AnyFact) -> bool:
    """True if the activation that was open before is not open after the fact."""
    return evolve(state, EXECUTION_ID, fact).activation != state.activation


@settings(max_examples=examples(40), deadline=None)
@given(data=st.data(), creation=first)
def test_any_sequence_of_commands_makes_a_sound_history(data: st.DataObject, creation: f.Enqueued) -> None:
    """It folds, has no gap, nothing follows the end, at most one activation is open, each refusal has its code."""
    history: list[f.AnyFact] = [creation]
    state = evolve(None, EXECUTION_ID, creation)
    now = 0
    refused: set[str] = set()
    for _ in range(data.draw(st.integers(1, 20))):
        now += data.draw(st.integers(0, 20))
        command = data.draw(commands(state.activation))
        try:
            facts = decide(state, command, now, data.draw(st.floats(0, 1, exclude_max=True)))
        except Rejected as rejected:
            facts = []
            refused.add(rejected.code)
        for fact in facts:
            assert not state.is_final
            assert fact.n == state.n + 1
            if f.opens_activation(fact) and state.activation:
                assert closes(state, fact)
            before, state = state, evolve(state, EXECUTION_ID, fact, state.sequence + 1)
            assert state.attempt - before.attempt in (0, 1)
            assert state.is_final == isinstance(fact, f.FINAL)
        assert not (state.is_final and state.activation)
        assert not (state.owner and not state.activation)
        assert not (state.suspended and not state.waits), "nothing would ever wake it"
        assert not (state.suspended or state.paused) or (state.state is State.WAITING and not state.activation)
        assert state.state is not State.WAITING or state.suspended or state.paused
        over = {key for key, op in state.ops.items() if op.done and op.kind != "call"}
        assert not over & set(state.waits)
        history.extend(facts)
    assert refused <= set(CATALOGUE)
    assert [fact.n for fact in history] == list(range(1, len(history) + 1))
    assert all(not isinstance(fact, f.FINAL) for fact in history[:-1])


@settings(max_examples=examples(30), deadline=None)
@given(data=st.data(), creation=first)
def test_a_history_read_back_folds_to_the_same_state(data: st.DataObject, creation: f.Enqueued) -> None:
    """Encoding loses nothing that a rule looks at."""
    history: list[f.AnyFact] = [creation]
    state = evolve(None, EXECUTION_ID, creation, 1)
    for now in range(0, 100, 10):
        try:
            facts = decide(state, data.draw(commands(state.activation)), now, 0.5)
        except Rejected:
            continue
        for fact in facts:
            state = evolve(state, EXECUTION_ID, fact, state.sequence + 1)
        history.extend(facts)
    stored = enumerate([decode_fact(encode_fact(fact)) for fact in history], start=1)
    assert fold(EXECUTION_ID, stored) == state


@settings(max_examples=examples(30), deadline=None)
@given(data=st.data(), creation=first, now=st.integers(0, 100))
def test_the_same_question_gets_the_same_answer(data: st.DataObject, creation: f.Enqueued, now: int) -> None:
    """No clock and no chance hides in the rules."""
    state = evolve(None, EXECUTION_ID, creation)
    command = data.draw(commands(state.activation))

    def ask() -> object:
        try:
            return decide(state, command, now, 0.3)
        except Rejected as rejected:
            return rejected.code

    assert ask() == ask()
