"""Restarting from a later step: which operations of an execution the new one takes over, and how they are written down.

Pure. Taken over is what was finished before the first fact of the chosen operation, with its results; what was undone
since is not. The new execution finds them as if they were its own, with numbers below 1.
"""

from collections.abc import Mapping, Sequence

import msgspec
from immutables import Map
from msgspec.structs import replace

from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve import fold
from penstock.domain.execution.evolve_durable import UNDO
from penstock.domain.execution.state import ChildState, Execution, Op

NAMES_SHOWN_MAX = 50


class Inherited(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Finished operations by key, and the ended children of those that are calls, by execution id."""

    ops: dict[str, Op] = {}
    children: dict[str, ChildState] = {}


NOTHING_INHERITED = Inherited()
_decode = msgspec.json.Decoder(Inherited).decode


def encode_inherited(inherited: Inherited) -> bytes:
    """JSON, for the object store."""
    return msgspec.json.encode(inherited)


def read_inherited(data: bytes) -> Inherited:
    """What `encode_inherited` wrote."""
    return _decode(data)


def decode_inherited(data: bytes) -> dict[str, Op]:
    """The operations alone, by key."""
    return _decode(data).ops


def with_inherited(state: Execution, inherited: Inherited) -> Execution:
    """The execution with what it has taken over; what it has done itself goes before it."""
    ops: Map[str, Op] = Map(inherited.ops).update(state.ops)
    children: Map[str, ChildState] = Map(inherited.children).update(state.children)
    return replace(state, ops=ops, children=children)


def inherited_from(
    history: Sequence[f.AnyFact | f.Unknown], name: str, before: Inherited = NOTHING_INHERITED
) -> Inherited:
    """What an execution restarted from operation `name` takes over.

    `before` is what the execution with this history had taken over itself. Raises Rejected `invalid_option` naming the
    known operations when there is none of that name.
    """
    own = next((index for index, fact in enumerate(history) if name in _named(fact)), None)
    if own is None and name not in before.ops:
        raise _unknown(history, name, before)
    if own is None:
        # The execution has not come to it, or goes on behind it: then it stands in what it took over.
        limit = before.ops[name].n
        return _numbered({key: op for key, op in before.ops.items() if op.n < limit}, before.children)
    state = fold("", ((0, fact) for fact in history[:own]))
    assert state is not None, "no operation is named by the first fact"
    undone = {
        fact.step.removesuffix(UNDO)
        for fact in history
        if isinstance(fact, f.StepCompleted) and fact.step.endswith(UNDO)
    }
    done = {key: op for key, op in state.ops.items() if op.done and key not in undone and not key.endswith(UNDO)}
    return _numbered({**before.ops, **done}, {**before.children, **state.children})


def _named(fact: f.AnyFact | f.Unknown) -> list[str]:
    """The operations that a fact is about."""
    match fact:
        case f.StepStarted() | f.StepCompleted() | f.StepFailed():
            return [] if fact.step.endswith(UNDO) else [fact.step]
        case f.WaitOpened():
            return [wait.key for wait in fact.waits]
        case f.Woken():
            return [fact.wait]
        case f.ChildCalled():
            return [fact.call]
        case _:
            return []


def _numbered(ops: Mapping[str, Op], children: Mapping[str, ChildState]) -> Inherited:
    """Numbered in the order in which they were finished, so that the last has number 0; with the children they need."""
    ordered = sorted(ops.items(), key=lambda item: item[1].n)
    first = 1 - len(ordered)
    numbered = {key: replace(op, n=number) for number, (key, op) in enumerate(ordered, start=first)}
    wanted = {child for op in numbered.values() for child in op.children}
    return Inherited(ops=numbered, children={one: kept for one, kept in children.items() if one in wanted})


def _unknown(history: Sequence[f.AnyFact | f.Unknown], name: str, before: Inherited) -> Rejected:
    known = list(dict.fromkeys([*before.ops, *(each for fact in history for each in _named(fact))]))
    shown = ", ".join(known[:NAMES_SHOWN_MAX]) + (", ..." if len(known) > NAMES_SHOWN_MAX else "")
    sentence = f"It has {shown}." if known else "It has recorded no step yet."
    detail = f"The execution has no step {name[:80]!r}. {sentence}"
    return Rejected("invalid_option", detail, pointers=[("/from_step", "no such step")], known=known[:NAMES_SHOWN_MAX])
