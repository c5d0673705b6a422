"""Operations as an execution's state has them, turned into what its code is told."""

from collections.abc import Callable, Iterable

from msgspec import Raw

from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.execution.state import ChildState, Execution, Op
from penstock.functions.actions import ChildEnd, Outcome

ValueOf = Callable[[Raw, str | None], bytes]
"""The JSON of a value that stands in a fact, or under a name in the object store."""

NO_TEXT = ("", "", "", "")


def references(state: Execution, keys: Iterable[str]) -> set[str]:
    """Names in the object store of what these operations and their children came to."""
    found: set[str] = set()
    for op in (state.ops[key] for key in keys if key in state.ops):
        ends = (state.children[child].result_ref for child in op.children if child in state.children)
        found.update(ref for ref in (op.result_ref, *ends) if ref is not None)
    return found


def outcomes_of(state: Execution, keys: Iterable[str], value_of: ValueOf) -> dict[str, Outcome]:
    """What is known of these operations."""
    return {key: _outcome(state, state.ops[key], value_of) for key in keys if key in state.ops}


def _outcome(state: Execution, op: Op, value_of: ValueOf) -> Outcome:
    code, kind, message, stack = _text(op.error)
    return Outcome(
        kind=op.kind,
        n=op.n,
        at=op.at,
        position=op.position,
        done=op.done,
        outcome=op.outcome,
        value=value_of(op.result, op.result_ref),
        code=code if op.done else "",
        type=kind,
        message=message,
        stack=stack,
        started=op.started,
        failures=op.failures,
        retry_at=op.retry_at,
        children=[_child(state.children[child], value_of) for child in op.children if child in state.children],
    )


def _child(known: ChildState, value_of: ValueOf) -> ChildEnd:
    value = value_of(known.result, known.result_ref)
    return ChildEnd(known.child.id, known.child.function, known.state, value, *_text(known.error))


def _text(error: ErrorInfo | None) -> tuple[str, str, str, str]:
    return (error.code, error.type, error.message, error.stack) if error is not None else NO_TEXT
