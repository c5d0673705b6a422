"""A small world for flow control: a log in memory, the engine that reads it, and a slow, obvious model beside it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from penstock.domain import system as s
from penstock.domain.execution import facts as f
from penstock.domain.execution.commands import Settle
from penstock.domain.execution.decide import decide as settled
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.state import Execution, State
from penstock.domain.flow.admission import Decision, decide, revert
from penstock.domain.flow.fold import apply, apply_system
from penstock.domain.flow.joins import Entry as Appended
from penstock.domain.flow.joins import followers
from penstock.domain.flow.limits import FlowOptions
from penstock.domain.flow.snapshot import Restoring, dump
from penstock.domain.flow.state import FlowState
from penstock.domain.function.options import FunctionSpec, validate_spec

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECOND = 1_000_000
Entry = tuple[int, str, str, Any]


def fold(entries: list[Entry], state: FlowState | None = None) -> FlowState:
    """The state after these entries; an empty id marks a fact about the system."""
    state = state or FlowState()
    for sequence, execution_id, function, fact in entries:
        if execution_id:
            apply(state, execution_id, function, sequence, fact)
        else:
            apply_system(state, sequence, fact)
    return state


def restored(state: FlowState) -> FlowState:
    """The state by way of its snapshot."""
    first, *rest = dump(state)
    restoring = Restoring(first)
    for chunk in rest:
        restoring.add(chunk)
    return restoring.finish()


def frozen(state: FlowState) -> list[bytes]:
    """The snapshot: equal for equal states."""
    return list(dump(state))


class World:
    """Everything that happens, in order, with a clock that only the test moves."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.state = FlowState()
        self.executions: dict[str, Execution] = {}
        self.first: dict[str, f.Enqueued] = {}
        self.now = 1_000 * SECOND
        self.started: list[str] = []
        self.admissions: list[tuple[int, str]] = []
        """(time, execution) of the first admission of each."""

    # Facts.

    def _append(self, execution_id: str, function: str, fact: Any) -> None:
        entry = (len(self.log) + 1, execution_id, function, fact)
        self.log.append(entry)
        fold([entry], self.state)
        if execution_id:
            before = self.executions.get(execution_id)
            self.executions[execution_id] = evolve(before, execution_id, fact, entry[0])

    def declare(self, name: str, concurrency: int | None = None, **flow: Any) -> None:
        spec = validate_spec(FunctionSpec(name=name, concurrency=concurrency, flow=FlowOptions(**flow)))
        self._append("", "", s.FunctionDeclared(at=self.now, spec=spec, runner="r1"))

    def limit(self, target: str, n: int | None) -> None:
        self._append("", "", s.LimitChanged(at=self.now, target=target, limit=n, author="test"))

    def pause(self, function: str = "", key: str = "") -> None:
        self._append("", "", s.Paused(at=self.now, function=function, key=key, author="test"))

    def resume(self, function: str = "", key: str = "") -> None:
        self._append("", "", s.Resumed(at=self.now, function=function, key=key, author="test"))

    def enqueue(
        self,
        function: str,
        priority: int = 0,
        run_at: int | None = None,
        gated: bool = True,
        large: bool = False,
        **keys: str,
    ) -> str:
        execution_id = f"{len(self.first):032x}"
        fact = f.Enqueued(
            n=1,
            at=self.now,
            function=function,
            trace_id=TRACE,
            gated=gated,
            priority=priority,
            keys=keys,
            run_at=run_at,
            arguments_ref="arguments-large" if large else None,
        )
        self.first[execution_id] = fact
        self._append(execution_id, function, fact)
        return execution_id

    def _next(self, execution_id: str, kind: Any, **fields: Any) -> None:
        state = self.executions[execution_id]
        self._append(execution_id, state.function, kind(n=state.n + 1, at=self.now, **fields))

    def start(self, execution_id: str) -> None:
        state = self.executions[execution_id]
        self._next(execution_id, f.Started, activation=state.activation, attempt=state.attempt + 1, runner="r1")

    def succeed(self, execution_id: str) -> None:
        if not self.executions[execution_id].owner:
            self.start(execution_id)
        self._next(execution_id, f.Succeeded, attempt=1)

    def retry(self, execution_id: str) -> None:
        if not self.executions[execution_id].owner:
            self.start(execution_id)
        error = f.ErrorInfo(code="user_error")
        self._next(execution_id, f.RetryScheduled, attempt=1, error=error, retry_at=self.now)

    def suspend(self, execution_id: str) -> None:
        """It waits for an event; sometimes it has to end something else first."""
        if not self.executions[execution_id].owner:
            self.start(execution_id)
        wait = f.Wait(key=f"w{len(self.log)}", wait="event", name="x")
        at_once = len(self.log) % 2 == 0
        self._next(execution_id, f.WaitOpened, waits=[wait], suspends=at_once)
        if not at_once:
            self._next(execution_id, f.Suspended)

    def halt(self, execution_id: str) -> None:
        """It failed and waits for a fix."""
        if not self.executions[execution_id].owner:
            self.start(execution_id)
        self._next(execution_id, f.Paused, attempt=1, error=f.ErrorInfo(code="user_error"))

    def undo(self, execution_id: str) -> None:
        """It is to be cancelled or has failed, and undoes its steps first."""
        outcome = "cancelled" if len(self.log) % 2 else "failed"
        self._next(execution_id, f.Compensating, outcome=outcome, error=f.ErrorInfo(code="user_error"))
        self._next(execution_id, f.Due, gated=self.first[execution_id].gated)

    def wake(self, execution_id: str) -> None:
        """What it waited for is there."""
        state, gated = self.executions[execution_id], self.first[execution_id].gated
        if state.paused:
            self._next(execution_id, f.Resumed, gated=gated)
        elif len(self.log) % 2:
            key = next(iter(state.waits), "gone")
            self._next(execution_id, f.Woken, wait=key, outcome="event", wakes=True, gated=gated)
        else:
            self._next(execution_id, f.ChildCompleted, call="", child="", state="failed", wakes=True, gated=gated)

    def due(self, execution_id: str) -> None:
        self._next(execution_id, f.Due, gated=True)

    def cancel(self, execution_id: str) -> None:
        running = bool(self.executions[execution_id].owner)
        if running:
            self._next(execution_id, f.CancelRequested)
        self._next(execution_id, f.Cancelled)

    # Decisions.

    def decide(self, limit: int = 1000, meanwhile: Callable[[], None] = lambda: None) -> Decision:
        """One decision, and its batch in the log, unless one of its executions has moved meanwhile."""
        decision = decide(self.state, self.now, limit)
        entries = decision.entries()
        meanwhile()
        if any(self._sequence(each.execution_id) != each.expected for each in entries):
            revert(self.state, decision)
            return decision
        if entries:
            self._store(entries, decision.seen)
        for item in decision.cancelled:
            self.cancel(item.id)
        return decision

    def follow(self, limit: int = 1000) -> None:
        """Those that are to follow a singleton follow it, as far as one batch goes."""
        entries = followers(self.state, list(self.state.singles.joining), self.now, limit)
        if entries:
            self._store(entries, self.state.position)

    def _sequence(self, execution_id: str) -> int:
        before = self.executions.get(execution_id)
        return before.sequence if before is not None else 0

    def _store(self, entries: list[Appended], seen: int) -> None:
        size = sum(len(each.facts) for each in entries)
        self._append("", "", s.AdmissionDecided(at=self.now, seen=seen, count=size, leader="t"))
        for entry in entries:
            assert entry.expected == self._sequence(entry.execution_id)
            for fact in entry.facts:
                self._note(entry.execution_id, fact)
                self._append(entry.execution_id, entry.function, fact)

    def _note(self, execution_id: str, fact: Any) -> None:
        if isinstance(fact, f.Enqueued):
            self.first[execution_id] = fact
        if isinstance(fact, f.Admitted):
            if not any(each == execution_id for _, each in self.admissions):
                self.admissions.append((self.now, execution_id))
            self.started.append(execution_id)

    def settle(self) -> None:
        """Whoever follows an execution that has ended ends likewise."""
        ends = (f.Succeeded, f.Failed, f.Cancelled, f.Discarded)
        outcomes = {e: fact for _, e, _, fact in self.log if isinstance(fact, ends)}
        while True:
            mine = [e for e in self.executions.values() if e.leader in outcomes and not e.is_final]
            if not mine:
                return
            for each in mine:
                command = Settle(leader=each.leader, outcome=outcomes[each.leader])
                for fact in settled(each, command, self.now):
                    self._append(each.id, each.function, fact)
                    outcomes[each.id] = fact

    def refuse(self, limit: int = 1000) -> None:
        """A decision whose batch does not reach the log."""
        revert(self.state, decide(self.state, self.now, limit))

    def admit(self, limit: int = 1000) -> list[str]:
        """Ids admitted by one decision."""
        return [item.id for item in self.decide(limit).admitted]

    # What facts say, without the engine.

    def holding(self, function: str | None = None) -> list[str]:
        """Executions between their admission and what gives the slot back."""
        return [
            each.id
            for each in self.executions.values()
            if each.activation and (function is None or each.function == function)
        ]

    def waiting(self) -> list[str]:
        queued = (State.QUEUED, State.CANCELLING)
        return [e.id for e in self.executions.values() if e.state in queued and not e.activation]

    def suspended(self) -> list[str]:
        return [e.id for e in self.executions.values() if e.state is State.WAITING]

    def held_by_function(self) -> Counter[str]:
        return Counter(self.executions[each].function for each in self.holding())


def decided_again(state: FlowState, head: s.AdmissionDecided, recorded: list[Any]) -> list[Appended]:
    """What the engine decides in this state at the time of this head, behind which these facts stand."""
    leaders = [fact.leader for fact in recorded if isinstance(fact, f.Joined) and fact.reason == "singleton"]
    if leaders:
        return followers(state, list(dict.fromkeys(leaders)), head.at, head.count)
    return decide(state, head.at, head.count).entries()


def replay(world: World) -> list[Entry]:
    """The heads of all recorded decisions, each of which the engine makes again from the log alone."""
    heads = []
    for index, entry in enumerate(world.log):
        head = entry[3]
        if isinstance(head, s.AdmissionDecided):
            behind = world.log[index + 1 : index + 1 + head.count]
            again = decided_again(fold(world.log[: head.seen]), head, [each[3] for each in behind])
            assert [(each[1], each[3]) for each in behind] == [(e.execution_id, x) for e in again for x in e.facts]
            heads.append(entry)
    return heads
