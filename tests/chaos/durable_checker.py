"""What must be true of durable executions after any faults. Pure: from records to complaints."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from chaos.checker import NOT_ITS_FAULT, History
from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve_durable import UNDO
from penstock.domain.execution.state import Execution, State

FAILING = ("saga", "mending")
LATE = 5_000_000
"""Microseconds by which a wait may be over before that is wrong."""


def check_durable(
    history: History, effects: Iterable[dict[str, Any]], messages: Mapping[str, str], now: int
) -> list[str]:
    """Everything that is wrong with steps, waits, children, messages and undoing."""
    complaints: list[str] = []
    noted = list(effects)
    for execution, state in history.states.items():
        facts = history.facts[execution]
        complaints += [
            f"{execution} ({state.function}): {each}"
            for each in (
                *_overdue(state, now),
                *_wrong_result(state, facts),
                *_family(history, state),
                *_not_undone(state),
            )
        ]
    complaints += _wrongly_undone(history, noted)
    complaints += _messages(history, messages)
    return complaints


def _overdue(state: Execution, now: int) -> Iterable[str]:
    for wait in () if state.is_final else state.waits.values():
        if wait.until is not None and wait.until < now - LATE:
            yield f"its wait {wait.key} was over {(now - wait.until) / 1e6:.1f} s ago"


def _wrong_result(state: Execution, facts: list[f.AnyFact | f.Unknown]) -> Iterable[str]:
    last, first = facts[-1], facts[0]
    if not isinstance(last, f.Succeeded) or not isinstance(first, f.Enqueued):
        return
    result, stored = msgspec.json.decode(last.result), {}
    for fact in facts:
        if isinstance(fact, f.StepCompleted) and "~" not in fact.step:
            stored[fact.step] = msgspec.json.decode(fact.result)
    (key,) = msgspec.json.decode(first.args)
    if isinstance(result, dict):
        if result["steps"] != stored:
            yield f"its code saw the steps {result['steps']}, stored are {stored}"
        if not _is_expected(state, key, result["got"]):
            yield f"it got {result['got']}"
    elif state.function in ("leaf", "twig", "napping") and result != f"{state.function} {key}":
        yield f"its result is {result}"


def _is_expected(state: Execution, key: str, got: list[Any]) -> bool:
    me = state.id
    leaf, twigs = f"leaf {me}-0", [f"twig {me}-{number}" for number in range(3)]
    match state.function:
        case "journey":
            return got == [leaf, *twigs]
        case "journey_sync":
            return got == [leaf, *twigs[:2]]
        case "together":
            return got == twigs[:1]
        case "expecting":
            return got == [f"first {key}", f"second {key}"]
        case "chatty":
            return got == [f"{key}-0", f"{key}-1"]
        case "asking":
            return got == [f"answer {me}"]
        case "race":
            return got in ([0, f"napping {me}-0"], [1, None])
        case _:
            return got == []


def _family(history: History, state: Execution) -> Iterable[str]:
    """Children are there, and their ends are told to a parent that still wanted to know."""
    for child in state.children.values():
        found = history.states.get(child.child.id)
        if found is None:
            if state.state is State.SUCCEEDED or not state.is_final:
                yield f"its child {child.child.id} was never made"
        elif child.state and child.state != str(found.state):
            yield f"it was told that {found.id} {child.state}, which {found.state}"
        elif not child.state and found.is_final and not state.is_final:
            yield f"it was not told that {found.id} {found.state}"
    for call, op in state.ops.items():
        told = [state.children[each].state for each in op.children]
        if op.kind == "call" and op.outcome == "children" and not all(told):
            yield f"its call {call} was over before its children"


def _not_undone(state: Execution) -> Iterable[str]:
    if state.state not in (State.FAILED, State.CANCELLED) or not state.undoable:
        return
    if state.error is None or state.error.code not in NOT_ITS_FAULT[1:]:
        yield f"it {state.state}, and did not undo {sorted(state.undoable)}"


def _wrongly_undone(history: History, effects: list[dict[str, Any]]) -> Iterable[str]:
    """What undoes a step is given the stored result of the step."""
    results: dict[str, str] = {}
    undone: set[str] = set()
    for execution, facts in history.facts.items():
        for fact in facts:
            if isinstance(fact, f.StepCompleted) and fact.undo:
                results[msgspec.json.decode(fact.result)] = execution
            if isinstance(fact, f.StepCompleted) and fact.step.endswith(UNDO):
                steps = history.states[execution].ops
                undone.add(msgspec.json.decode(steps[fact.step.removesuffix(UNDO)].result))
    called = {each["value"] for each in effects if each["what"] == "undo"}
    yield from (f"undone was {value}, which no step has stored" for value in called - results.keys())
    yield from (f"{results[value]} says that {value} is undone, and it is not" for value in undone - called)


def _messages(history: History, messages: Mapping[str, str]) -> Iterable[str]:
    for message, execution in messages.items():
        facts = history.facts.get(execution, [])
        kept = [fact for fact in facts if isinstance(fact, f.MessageReceived) and fact.message == message]
        taken = [fact for fact in facts if isinstance(fact, f.Woken) and fact.source == message]
        if not kept and not taken:
            yield f"{execution}: message {message} was accepted and is not in the log"
        if len(kept) > 1 or len(taken) > 1:
            yield f"{execution}: message {message} was kept {len(kept)} and taken {len(taken)} times"
