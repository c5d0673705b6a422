"""Flow control against a slow, obvious model: any course of events, each decision compared with it."""

import time
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
from penstock.domain.flow.admission import decide
from penstock.domain.flow.limits import FlowOptions, Limit, Throttle
from penstock.domain.flow.state import FlowState

KEYS = st.sampled_from("xyz")

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {"concurrency": 2},
    "keyed": {"concurrency": 1, "concurrency_key": "args[0]"},
    "fifo": {"fifo": True, "concurrency_key": "args[0]"},
    "both": {"concurrency": 3, "limits": [Limit(1, key="args[0]"), Limit(2, name="api")]},
    "shared": {"limits": [Limit(2, name="api"), Limit(1, key="args[1]")]},
    "turns": {"concurrency": 2, "round_robin": "args[0]", "concurrency_key": "args[1]"},
    "slow": {"concurrency": 3, "throttle": Throttle(2, 5.0, key="args[0]")},
}


ASIDE = ["retry", "suspend", "halt", "undo"]
"""What sets a running execution aside until something happens; fifo keeps its slot meanwhile."""


class Model:
    """What should be admitted, found by looking at everything again for each admission."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ranks: dict[str, tuple[int, int]] = {}
        self.turn: dict[str, int] = dict.fromkeys(SHAPES, 0)
        self.turns: dict[tuple[str, str], int] = {}
        self.retained: set[str] = set()
        self.counts: dict[str, int] = {}
        self.paused: set[tuple[str, str]] = set()
        self.changed: dict[str, int | None] = {}

    def live(self, function: str) -> list[str]:
        return [e.id for e in self.world.executions.values() if e.function == function and not e.is_final]

    def key(self, execution_id: str, label: str) -> str:
        return self.world.first[execution_id].keys.get(label, "")

    def limits(self, function: str) -> list[tuple[str, str, int | None]]:
        """(target, label, n) of each limit on slots."""
        shape = SHAPES[function]
        own = 1 if shape.get("fifo") else shape.get("concurrency")
        found = [(f"function:{function}", "concurrency", own)]
        for index, limit in enumerate(shape.get("limits", [])):
            label = f"limit:{limit.name}" if limit.name else f"limit:{index}"
            found.append((label if limit.name else f"function:{function}:{index}", label, limit.n))
        return [(t, label, self.changed.get(t) if self.changed.get(t) is not None else n) for t, label, n in found]

    def users(self, target: str, value: str, holding: set[str]) -> set[str]:
        """Executions with a slot of this limit for this key."""
        found = set()
        for name in SHAPES:
            for t, label, _ in self.limits(name):
                if t == target:
                    kept = self.retained if label == "concurrency" else set()
                    held = {e for e in self.live(name) if e in holding or e in kept}
                    found |= {e for e in held if self.key(e, label) == value}
        return found

    def has_room(self, execution_id: str, holding: set[str], passed: list[tuple[int, str]]) -> bool:
        function = self.world.executions[execution_id].function
        for target, label, n in self.limits(function):
            users = self.users(target, self.key(execution_id, label), holding)
            if n is not None and len(users - {execution_id}) >= n:
                if label == "concurrency" and execution_id in self.retained and execution_id in users:
                    continue
                return False
        throttle = SHAPES[function].get("throttle")
        if throttle is not None:
            value = self.key(execution_id, "throttle")
            recent = [
                at for at, e in passed
                if self.world.executions[e].function == function and self.key(e, "throttle") == value
                and at + round(throttle.period * SECOND) > self.world.now
            ]  # fmt: skip
            if len(recent) >= throttle.n:
                return False
        paused = (function, ""), (function, self.key(execution_id, "concurrency"))
        return not any(each in self.paused for each in paused) and ("", "") not in self.paused

    def expected(self, limit: int) -> list[str]:
        world = self.world
        holding, passed = set(world.holding()), list(world.admissions)
        waiting = set(world.waiting())
        chosen: list[str] = []
        n = self.changed.get("environment")
        turn, turns = dict(self.turn), dict(self.turns)
        while len(chosen) < limit and (n is None or len(holding) < n):
            best: tuple[Any, ...] | None = None
            for name in SHAPES:
                mine = (e for e in waiting if world.executions[e].function == name)
                ready = [e for e in mine if self.has_room(e, holding, passed)]
                if not ready:
                    continue
                robin = "round_robin" in SHAPES[name]

                def place(e: str, name: str = name, robin: bool = robin) -> tuple[int, int, int]:
                    return (turns[name, self.key(e, "round_robin")] if robin else 0, *self.ranks[e])

                first = min(ready, key=place)
                held = sum(world.executions[e].function == name for e in holding)
                candidate = (held, *((0, 0) if robin else self.ranks[first]), name, first)
                best = candidate if best is None or candidate < best else best
            if best is None:
                break
            name, first = best[-2], best[-1]
            chosen.append(first)
            waiting.discard(first)
            holding.add(first)
            if not any(e == first for _, e in world.admissions):
                passed.append((world.now, first))
            if "round_robin" in SHAPES[name]:
                place_key = (name, self.key(first, "round_robin"))
                turn[name] = max(turn[name], turns[place_key])
                turns[place_key] = turn[name] + 1
        return chosen

    def admitted(self, ids: list[str]) -> None:
        for each in ids:
            self.retained.discard(each)
            name = self.world.executions[each].function
            if "round_robin" in SHAPES[name]:
                place = (name, self.key(each, "round_robin"))
                self.turn[name] = max(self.turn[name], self.turns[place])
                self.turns[place] = self.turn[name] + 1

    def gone(self, execution_id: str) -> None:
        name = self.world.executions[execution_id].function
        value = self.key(execution_id, "round_robin")
        self.retained.discard(execution_id)
        if not any(self.key(e, "round_robin") == value for e in self.live(name)):
            self.turns.pop((name, value), None)


class Flow(RuleBasedStateMachine):
    """Executions come, run, fail, wait and end in any order; limits change; batches are refused; schedulers restart."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.model = Model(self.world)
        for name, shape in SHAPES.items():
            self.world.declare(name, **shape)

    def pick(self, among: list[str], index: int) -> str | None:
        return among[index % len(among)] if among else None

    @rule(name=st.sampled_from(sorted(SHAPES)), a=KEYS, b=KEYS, priority=st.integers(-3, 3), gap=st.integers(0, 2))
    def enqueue(self, name: str, a: str, b: str, priority: int, gap: int) -> None:
        world = self.world
        world.now += gap * SECOND
        shape = SHAPES[name]
        keys = {"concurrency": b if name == "turns" else a} if shape.get("concurrency_key") else {}
        for index, limit in enumerate(shape.get("limits", [])):
            if limit.key:
                keys[f"limit:{index}"] = a if limit.key == "args[0]" else b
        if "throttle" in shape:
            keys["throttle"] = a
        if "round_robin" in shape:
            keys["round_robin"] = a
            self.model.turns.setdefault((name, a), self.model.turn[name])
        priority = 0 if shape.get("fifo") else priority
        execution = world.enqueue(name, priority=priority, **keys)
        self.model.ranks[execution] = (world.now - priority * SECOND, len(world.log))

    @rule(index=st.integers(0, 1000), how=st.sampled_from(["succeed", "cancel", "lose", *ASIDE]))
    def end(self, index: int, how: str) -> None:
        world = self.world
        execution = self.pick(world.holding(), index)
        if execution is None:
            return
        if how == "lose":
            state = world.executions[execution]
            if not state.owner:
                world.start(execution)
            state = world.executions[execution]
            world._next(execution, f.AttemptLost, attempt=1, activation=state.activation, runner="r1")
            world._next(execution, f.Due)
            return
        getattr(world, how)(execution)
        if how not in ASIDE:
            self.model.gone(execution)
        elif SHAPES[world.executions[execution].function].get("fifo"):
            self.model.retained.add(execution)

    @rule(index=st.integers(0, 1000))
    def due(self, index: int) -> None:
        away = [e.id for e in self.world.executions.values() if e.state is State.RETRYING]
        execution = self.pick(away, index)
        if execution is not None:
            self.world.due(execution)

    @rule(index=st.integers(0, 1000))
    def wake(self, index: int) -> None:
        execution = self.pick(self.world.suspended(), index)
        if execution is not None:
            self.world.wake(execution)

    @rule(index=st.integers(0, 1000))
    def undo_suspended(self, index: int) -> None:
        execution = self.pick(self.world.suspended(), index)
        if execution is not None:
            self.world.undo(execution)

    @rule(index=st.integers(0, 1000))
    def cancel_waiting(self, index: int) -> None:
        execution = self.pick(self.world.waiting(), index)
        if execution is not None:
            self.world.cancel(execution)
            self.model.gone(execution)

    @rule(what=st.sampled_from(["environment", "function:plain", "limit:api", "function:keyed"]), n=st.integers(0, 4))
    def change(self, what: str, n: int) -> None:
        self.model.changed[what] = n or None
        self.world.limit(what, n or None)

    @rule(name=st.sampled_from(["", "plain", "keyed", "turns"]), key=st.sampled_from(["", "x"]), on=st.booleans())
    def pause(self, name: str, key: str, on: bool) -> None:
        key = key if name in ("keyed", "turns") else ""
        (self.world.pause if on else self.world.resume)(name, key)
        (self.model.paused.add if on else self.model.paused.discard)((name, key))

    @rule(gap=st.integers(1, 6))
    def wait(self, gap: int) -> None:
        self.world.now += gap * SECOND

    @rule(limit=st.integers(1, 5))
    def refused_batch(self, limit: int) -> None:
        before = frozen(self.world.state)
        self.world.refuse(limit)
        assert frozen(self.world.state) == before

    @rule()
    def restart(self) -> None:
        self.world.state = restored(self.world.state)

    @rule(limit=st.sampled_from([1, 2, 100]))
    def decided(self, limit: int) -> None:
        expected = self.model.expected(limit)
        admitted = self.world.admit(limit)
        assert admitted == expected
        self.model.admitted(admitted)

    @invariant()
    @precondition(lambda self: hasattr(self, "world"))
    def slots_are_what_facts_say(self) -> None:
        state = self.world.state
        assert set(state.held) == set(self.world.holding())
        live = {e.id for e in self.world.executions.values() if not e.is_final}
        assert set(state.items) == live

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        assert frozen(fold(world.log)) == frozen(world.state)
        assert replay(world) == [each for each in world.log if isinstance(each[3], s.AdmissionDecided)]
        self._nobody_starves()

    def _nobody_starves(self) -> None:
        """Once nothing is paused and time goes on, everything is admitted, once each."""
        world = self.world
        for name, key in list(self.model.paused):
            world.resume(name, key)
        for target in self.model.changed:
            world.limit(target, None)
        for _ in range(len(world.first) * 3 + 10):
            for each in world.executions.values():
                if each.state is State.RETRYING:
                    world.due(each.id)
            for each_id in world.suspended():
                world.wake(each_id)
            world.decide()
            for each_id in world.holding():
                world.succeed(each_id)
            world.now += 6 * SECOND
        assert all(e.is_final for e in world.executions.values())


TestFlow = pytest.mark.timeout(300)(Flow.TestCase)
TestFlow.settings = settings(
    max_examples=examples(40), stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


def drained(backlog: int, admissions: int, keys: int = 1) -> float:
    """CPU seconds per admission with so many executions waiting."""
    world = World()
    world.declare("f", concurrency=1, **({"concurrency_key": "args[0]"} if keys > 1 else {}))
    state = FlowState()
    fold(world.log, state)
    sequence = len(world.log)
    for index in range(backlog):
        sequence += 1
        key = {"concurrency": str(index % keys)} if keys > 1 else {}
        fact = f.Enqueued(n=1, at=index, function="f", trace_id="0" * 31 + "1", gated=True, keys=key)
        fold([(sequence, f"{index:032x}", "f", fact)], state)
    begin = time.process_time()
    done = 0
    while done < admissions:
        for item in decide(state, sequence, 100).admitted:
            fold([(sequence + 1, item.id, "f", f.Admitted(n=2, at=sequence))], state)
            fold([(sequence + 2, item.id, "f", f.Succeeded(n=3, at=sequence, attempt=1))], state)
            sequence += 2
            done += 1
    return (time.process_time() - begin) / done


@pytest.mark.parametrize("keys", [1, 500])
def test_an_admission_costs_the_same_with_any_backlog(keys: int) -> None:
    """The CPU per admission grows less than the noise while the backlog grows a hundredfold."""
    small = min(drained(1_000, 900, keys) for _ in range(3))
    large = min(drained(100_000, 900, keys) for _ in range(3))
    assert large < small * 2 + 20e-6


def test_options_default_to_no_flow() -> None:
    """A function that says nothing about its flow is not gated."""
    assert FlowOptions() == FlowOptions(limits=[])
