"""Operations as the log has them, turned into what worker processes are told: values fetched, errors as text."""

from collections.abc import Iterable

from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.execution.state import ChildState, Execution, Op
from penstock.functions.actions import ChildEnd, Outcome
from penstock.ports import ObjectStore

NO_TEXT = ("", "", "", "")


async def outcomes_of(state: Execution, keys: Iterable[str], payloads: ObjectStore) -> dict[str, Outcome]:
    """What is known of these operations. Raises what the object store raises for a value that it has not."""
    found = {}
    for key in keys:
        op = state.ops.get(key)
        if op is not None:
            found[key] = await _outcome(state, op, payloads)
    return found


async def _outcome(state: Execution, op: Op, payloads: ObjectStore) -> Outcome:
    code, kind, message, stack = _text(op.error)
    children = []
    for child in op.children:
        known = state.children.get(child)
        if known is not None:
            children.append(await _child(known, payloads))
    return Outcome(
        kind=op.kind,
        n=op.n,
        at=op.at,
        position=op.position,
        done=op.done,
        outcome=op.outcome,
        value=bytes(op.result) if op.result_ref is None else await payloads.get(op.result_ref),
        code=code if op.done else "",
        type=kind,
        message=message,
        stack=stack,
        started=op.started,
        failures=op.failures,
        retry_at=op.retry_at,
        children=children,
    )


async def _child(known: ChildState, payloads: ObjectStore) -> ChildEnd:
    value = bytes(known.result) if known.result_ref is None else await payloads.get(known.result_ref)
    return ChildEnd(known.child.id, known.child.function, known.state, value, *_text(known.error))


def _text(error: ErrorInfo | None) -> tuple[str, str, str, str]:
    return (error.code, error.type, error.message, error.stack) if error is not None else NO_TEXT
