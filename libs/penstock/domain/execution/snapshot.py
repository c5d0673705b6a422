"""The state of a long execution written down, so that reading it takes a snapshot and what came after. Pure.

A snapshot is a cache: it is made of facts alone, and where it is missing or of another form the facts are read instead.
"""

import msgspec
from immutables import Map

from penstock.domain.execution.durable import MessageReceived, Wait
from penstock.domain.execution.facts import Enqueued
from penstock.domain.execution.state import ChildState, Execution, Op

FORM = 1
"""Raised when a fold gives something else for the same facts: older snapshots are then passed over."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`state` without its operations, which stand beside it as plain dictionaries; `first` is the first fact."""

    form: int
    first: Enqueued
    state: Execution
    ops: dict[str, Op] = {}
    waits: dict[str, Wait] = {}
    undoable: dict[str, int] = {}
    children: dict[str, ChildState] = {}
    messages: dict[str, int] = {}
    mailbox: dict[str, list[MessageReceived]] = {}


_decode = msgspec.json.Decoder(Snapshot).decode


def encode_snapshot(first: Enqueued, state: Execution) -> bytes:
    """JSON of the state after some facts, the first of which is `first`."""
    return msgspec.json.encode(
        Snapshot(
            form=FORM,
            first=first,
            state=state.without_operations(),
            ops=dict(state.ops),
            waits=state.waits,
            undoable=dict(state.undoable),
            children=dict(state.children),
            messages=dict(state.messages),
            mailbox=state.mailbox,
        )
    )


def decode_snapshot(data: bytes) -> tuple[Enqueued, Execution] | None:
    """The first fact and the state; None for what this version did not write."""
    try:
        snapshot = _decode(data)
    except msgspec.MsgspecError:
        return None
    if snapshot.form != FORM:
        return None
    state = msgspec.structs.replace(
        snapshot.state,
        ops=Map(snapshot.ops),
        waits=snapshot.waits,
        undoable=Map(snapshot.undoable),
        children=Map(snapshot.children),
        messages=Map(snapshot.messages),
        mailbox=snapshot.mailbox,
    )
    return snapshot.first, state
