"""What must be true of a log after any faults, whoever was killed when. Pure: from records to complaints."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec

from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.state import Execution
from penstock.domain.system import EventFannedOut, EventRejected
from penstock.ports import LogEntry
from penstock.wire.codec import decode_fact, decode_system_fact
from penstock.wire.names import Names

SUBSCRIBERS = ("hear", "hear_sync")
TICKING = "tick"
TICK_EVERY = timedelta(seconds=2)
FAILING = ("flaky", "hopeless")
NOT_ITS_FAULT = ("cancelled", "runner_lost", "crashed")
"""Only somebody's wish, or losing its process again and again, may end what does not fail by itself."""
SAME_MOMENT = 2_000
"""Microseconds between deciding on a fact and its being stored."""


@dataclass
class Trigger:
    """Something that the client asked for, and every answer it got."""

    door: str
    function: str
    key: str
    is_keyed: bool = True
    ids: list[str] = field(default_factory=list)
    accepted: bool = False


@dataclass
class History:
    """The log, taken apart. `add` collects what is wrong with it by itself."""

    names: Names
    facts: dict[str, list[f.AnyFact | f.Unknown]] = field(default_factory=dict)
    states: dict[str, Execution] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    settled_events: Counter[int] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    position: int = 0

    def add(self, entries: Iterable[LogEntry]) -> None:
        for sequence, subject, data in entries:
            if sequence != self.position + 1:
                self.complaints.append(f"the log goes from {self.position} to {sequence}")
            self.position = sequence
            parsed = self.names.parse_fact_subject(subject)
            if parsed is None:
                system = decode_system_fact(data)
                if isinstance(system, EventFannedOut | EventRejected):
                    self.settled_events[system.sequence] += 1
                continue
            self._add_fact(parsed[0], parsed[2], sequence, decode_fact(data))

    def _add_fact(self, execution: str, function: str, sequence: int, fact: f.AnyFact | f.Unknown) -> None:
        before = self.states.get(execution)
        earlier = self.facts.setdefault(execution, [])
        for complaint in _wrong(before, len(earlier), function, self.functions.setdefault(execution, function), fact):
            self.complaints.append(f"{execution} ({function}): {complaint}")
        earlier.append(fact)
        if before is not None or isinstance(fact, f.Enqueued):
            self.states[execution] = evolve(before, execution, fact, sequence)


def _wrong(
    before: Execution | None, count: int, function: str, known: str, fact: f.AnyFact | f.Unknown
) -> Iterable[str]:
    kind = f.kind_of(fact)
    if function != known:
        yield f"its facts are also filed under {known}"
    if fact.n != count + 1:
        yield f"fact {count + 1} ({kind}) has the number {fact.n}"
    if isinstance(fact, f.Enqueued) != (before is None):
        yield f"{kind} as fact {count + 1}"
    if before is None:
        return
    if before.is_final:
        yield f"{kind} after the final state {before.state}"
    if isinstance(fact, f.Started):
        if before.activation != fact.activation:
            yield f"started activation {fact.activation} while {before.activation} is open"
        if before.owner:
            yield f"started by {fact.runner} while {before.owner} has it"
        if fact.attempt != before.attempt + (not before.resuming):
            yield f"attempt {fact.attempt} after {before.attempt}"
    if isinstance(fact, f.StepCompleted) and fact.step in before.steps:
        yield f"step {fact.step} completed twice"


def check(
    history: History,
    triggers: Sequence[Trigger],
    effects: Iterable[dict[str, Any]],
    events_last: int,
    waiting: set[str],
    failing: Sequence[str] = FAILING,
) -> list[str]:
    """Everything that is wrong; `waiting` are executions that may not be final, `failing` functions that may fail."""
    complaints = list(history.complaints)
    complaints += [
        f"{execution} ({state.function}) is stuck in {state.state}: {[f.kind_of(x) for x in history.facts[execution]]}"
        for execution, state in history.states.items()
        if not state.is_final and execution not in waiting
    ]
    complaints += [
        f"{execution} ({state.function}) failed: {state.error.type} {state.error.message}"
        for execution, state in history.states.items()
        if state.error and state.error.code not in NOT_ITS_FAULT and state.function not in failing
    ]
    complaints += _unanswered(history, triggers)
    complaints += _unpunctual(history)
    complaints += _computed_again(history, effects)
    for sequence in range(1, events_last + 1):
        if history.settled_events[sequence] != 1:
            complaints.append(f"event e:{sequence} was fanned out {history.settled_events[sequence]} times")
    return complaints


def _unanswered(history: History, triggers: Sequence[Trigger]) -> Iterable[str]:
    made: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for execution, facts in history.facts.items():
        if isinstance(facts[0], f.Enqueued):
            made[facts[0].function, _key(facts[0])].append(execution)
    for execution, state in history.states.items():
        if state.function == "parent" and state.state == "succeeded":
            for number in range(2):
                if len(made["plain", f"child-{execution}-{number}"]) != 1:
                    yield f"{execution} has {len(made['plain', f'child-{execution}-{number}'])} children {number}"
    for trigger in triggers:
        if len(set(trigger.ids)) > 1:
            yield f"{trigger} was answered with different executions"
        for function in SUBSCRIBERS if trigger.function == "" else (trigger.function,):
            found = made[function, trigger.key]
            if len(found) > 1 or (trigger.accepted and not found):
                yield f"{trigger} made {len(found)} executions of {function}: {found}"
            if trigger.ids and trigger.function and trigger.ids[0] not in found:
                yield f"{trigger} was answered with an execution that is not in the log"


def _unpunctual(history: History) -> Iterable[str]:
    """Of every tick there is one execution, also of those that fell due while nobody was there."""
    found = Counter(
        datetime.fromisoformat(msgspec.json.decode(facts[0].event)["data"]["tick"])
        for facts in history.facts.values()
        if isinstance(facts[0], f.Enqueued) and facts[0].function == TICKING and facts[0].event is not None
    )
    instants = sorted(found)
    yield from (f"tick {instant} made {count} executions" for instant, count in found.items() if count != 1)
    for earlier, later in pairwise(instants):
        if later - earlier != TICK_EVERY:
            yield f"no tick between {earlier} and {later}"


def _key(first: f.Enqueued) -> str:
    if first.event is not None:
        event = msgspec.json.decode(first.event)
        return str((event.get("data") or {}).get("key"))
    args = msgspec.json.decode(first.args)
    return str(args[0]) if args else ""


def _computed_again(history: History, effects: Iterable[dict[str, Any]]) -> Iterable[str]:
    completed = {
        (execution, fact.step): fact
        for execution, facts in history.facts.items()
        for fact in facts
        if isinstance(fact, f.StepCompleted)
    }
    for effect in effects:
        fact = completed.get((effect["execution"], effect["what"].removeprefix("step ")))
        if fact is not None and effect["what"].startswith("step ") and effect["at"] > fact.at + SAME_MOMENT:
            late = (effect["at"] - fact.at) / 1e6
            yield (
                f"{effect['execution']}: attempt {effect['attempt']} computed step {fact.step} {late:.3f} s after "
                f"attempt {fact.attempt} had completed it"
            )
