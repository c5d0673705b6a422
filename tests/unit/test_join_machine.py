"""Executions that run for others, in any course of events: who follows whom, when, and that everything ends once."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from examples import examples
from flow_world import SECOND, World, fold, frozen, replay, restored
from penstock.domain import system as s
from penstock.domain.execution import facts as f
from penstock.domain.execution.state import State
from penstock.domain.flow.limits import Batch, Debounce

KEYS = st.sampled_from("xy")
PERIOD, DELAY, SIZE, WAIT = 3.0, 7.0, 3, 5.0

SHAPES: dict[str, dict[str, Any]] = {
    "merged": {"concurrency": 2, "debounce": Debounce(PERIOD, DELAY, key="args[0]")},
    "attached": {"concurrency": 3, "singleton": "attach", "singleton_key": "args[0]"},
    "dropped": {"singleton": "drop", "singleton_key": "args[0]"},
    "batched": {"concurrency": 1, "batch": Batch(SIZE, WAIT, key="args[0]")},
}
LABELS = {"merged": "debounce", "attached": "singleton", "dropped": "singleton", "batched": "batch"}


class Joins(RuleBasedStateMachine):
    """Executions come, follow, run, move and end in any order; batches are refused; schedulers restart."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.arrived: dict[str, tuple[int, int]] = {}
        """Execution -> (position in the log, time) at which it came."""
        for name, shape in SHAPES.items():
            self.world.declare(name, **shape)

    def key(self, execution_id: str) -> tuple[str, str]:
        first = self.world.first[execution_id]
        return first.function, first.keys.get(LABELS[first.function], "")

    def pick(self, among: list[str], index: int) -> str | None:
        return among[index % len(among)] if among else None

    @rule(name=st.sampled_from(sorted(SHAPES)), key=KEYS, gap=st.integers(0, 2), count=st.integers(1, 4))
    def enqueue(self, name: str, key: str, gap: int, count: int) -> None:
        self.world.now += gap * SECOND
        for _ in range(count):
            execution = self.world.enqueue(name, **{LABELS[name]: key})
            self.arrived[execution] = (len(self.world.log), self.world.now)

    @rule(gap=st.integers(1, 6))
    def wait(self, gap: int) -> None:
        self.world.now += gap * SECOND

    @rule(index=st.integers(0, 1000), how=st.sampled_from(["succeed", "succeed", "retry", "cancel"]))
    def end(self, index: int, how: str) -> None:
        execution = self.pick(self.world.holding(), index)
        if execution is not None:
            getattr(self.world, how)(execution)

    @rule(index=st.integers(0, 1000))
    def due(self, index: int) -> None:
        away = [e.id for e in self.world.executions.values() if e.state in (State.RETRYING, State.SCHEDULED)]
        execution = self.pick(away, index)
        if execution is not None:
            self.world.due(execution)
            if not self.world.executions[execution].has_started:
                self.arrived[execution] = (len(self.world.log), self.world.now)

    @rule(index=st.integers(0, 1000))
    def put_off(self, index: int) -> None:
        execution = self.pick([e for e in self.world.waiting() if not self.world.first[e].members], index)
        if execution is not None:
            self.world._next(execution, f.Rescheduled, run_at=self.world.now + SECOND)

    @rule(index=st.integers(0, 1000))
    def cancel(self, index: int) -> None:
        open_ones = [e.id for e in self.world.executions.values() if not e.is_final and not e.owner]
        execution = self.pick(open_ones, index)
        if execution is not None:
            self.world.cancel(execution)

    @rule(name=st.sampled_from(sorted(SHAPES)), other=st.booleans())
    def declare_again(self, name: str, other: bool) -> None:
        shape = dict(SHAPES[name])
        if other:
            shape["concurrency"] = 4
        self.world.declare(name, **shape)

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @rule(limit=st.integers(1, 9))
    def refused_batch(self, limit: int) -> None:
        before = frozen(self.world.state)
        self.world.refuse(limit)
        assert frozen(self.world.state) == before

    @rule()
    def restart(self) -> None:
        self.world.state = restored(self.world.state)

    @rule(limit=st.sampled_from([1, 2, 3, 5, 1000]))
    def decide_once(self, limit: int) -> None:
        size = self.world.decide(limit).size
        assert size <= max(limit, 3, SIZE + 1)

    @rule(
        limit=st.sampled_from([1, 5, 1000]), name=st.sampled_from(sorted(SHAPES)), key=KEYS, count=st.integers(1, 4),
        cancelled=st.integers(-3, 1000),
    )  # fmt: skip
    def decide_late(self, limit: int, name: str, key: str, count: int, cancelled: int) -> None:
        """Others come, and one is cancelled, between a decision and its batch."""

        def meanwhile() -> None:
            self.enqueue(name=name, key=key, gap=0, count=count)
            if cancelled >= 0:
                self.cancel(index=cancelled)

        self.world.decide(limit, meanwhile)

    @rule(limit=st.sampled_from([1, 4, 1000]))
    def follow(self, limit: int) -> None:
        self.world.follow(limit)

    @rule(limit=st.sampled_from([1, 2, 5, 1000]))
    def decide_all(self, limit: int) -> None:
        while self.world.decide(limit).size:
            pass
        while self.world.state.singles.joining:
            self.world.follow(limit)
        self._nothing_is_overdue()

    def _nothing_is_overdue(self) -> None:
        """Whatever has waited for as long as its options say waits together no more."""
        now = self.world.now
        newest: Counter[tuple[str, str]] = Counter()
        for execution, (_, at) in self.arrived.items():
            newest[self.key(execution)] = max(newest[self.key(execution)], at)
        collected: Counter[tuple[str, str]] = Counter()
        for item in self.world.state.items.values():
            if item.gathering:
                name, key = self.key(item.id)
                at = self.arrived[item.id][1]
                limit = DELAY if name == "merged" else WAIT
                assert at + limit * SECOND > now
                if name == "merged":
                    assert newest[name, key] + PERIOD * SECOND > now
                collected[name, key] += name == "batched"
        assert all(count < SIZE for count in collected.values())

    @invariant()
    @precondition(lambda self: hasattr(self, "world"))
    def slots_are_what_facts_say(self) -> None:
        world = self.world
        assert set(world.state.held) == set(world.holding())
        assert set(world.state.items) == {e.id for e in world.executions.values() if not e.is_final and not e.leader}
        alone = Counter(
            self.key(each.id)
            for each in world.executions.values()
            if each.function in ("attached", "dropped") and (each.activation or each.state is State.RETRYING)
        )
        assert all(count == 1 for count in alone.values())

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        assert frozen(fold(world.log)) == frozen(world.state)
        assert replay(world) == [each for each in world.log if isinstance(each[3], s.AdmissionDecided)]
        self._each_follows_as_it_should()
        self._everything_ends()

    def _each_follows_as_it_should(self) -> None:
        world, ended = self.world, set()
        indexes: Counter[str] = Counter()
        for position, execution, _, fact in world.log:
            if isinstance(fact, f.FINAL):
                ended.add(execution)
            if not isinstance(fact, f.Joined):
                continue
            assert self.key(fact.leader) == self.key(execution)
            assert fact.leader not in ended
            if fact.reason == "debounce":
                assert self.arrived_before(position, execution) < self.arrived_before(position, fact.leader)
            if fact.reason == "batch":
                assert world.first[fact.leader].members[fact.index or 0] == execution
                indexes[fact.leader] += 1
        for batch, count in indexes.items():
            assert count == len(world.first[batch].members) <= SIZE
        named = [e for _, _, _, fact in world.log if isinstance(fact, f.Followed) for e in fact.followers]
        members = [e for first in world.first.values() for e in first.members]
        followers = [e.id for e in world.executions.values() if e.leader]
        assert sorted(named + members) == sorted(followers)

    def arrived_before(self, position: int, execution: str) -> int:
        """Where its latest arrival before this position stands."""
        return max(
            at
            for at, each, _, fact in self.world.log
            if at < position and each == execution and isinstance(fact, f.Enqueued | f.Due)
        )

    def _everything_ends(self) -> None:
        """Once time goes on, everything ends, and nobody who follows has run."""
        world = self.world
        for _ in range(len(world.first) * 3 + 10):
            for each in list(world.executions.values()):
                if each.state in (State.RETRYING, State.SCHEDULED):
                    world.due(each.id)
            world.decide()
            world.follow()
            for execution in world.holding():
                world.succeed(execution)
            world.settle()
            world.now += 6 * SECOND
        assert all(e.is_final for e in world.executions.values())
        assert not any(e.leader and e.attempt for e in world.executions.values())


TestJoins = pytest.mark.timeout(300)(Joins.TestCase)
TestJoins.settings = settings(
    max_examples=examples(30), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
