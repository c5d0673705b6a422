"""What a waiting, paused or undoing execution waits for, in sentences and for programs. Pure."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from penstock.domain.execution.facts import Wait
from penstock.domain.execution.state import Execution
from penstock.domain.execution.tokens import make_token
from penstock.domain.flow.reason import Why
from penstock_query.operations import ChildShape
from penstock_query.shapes import instant, rfc3339

CHILDREN_SHOWN_MAX = 50
WAITS_SHOWN_MAX = 50


class WaitShape(msgspec.Struct, frozen=True, kw_only=True):
    """One open wait. `token` ends it: `POST /v1/tokens/{token}`. `any_of` names what it is an alternative of."""

    step: str
    kind: str
    until: str | None = None
    name: str | None = None
    match: dict[str, Raw] = {}
    token: str | None = None
    children: list[ChildShape] = []
    any_of: list[str] = []
    wakes_when: str


def running_children(state: Execution) -> list[str]:
    """Children that an open wait is about and whose end its parent has not heard of; as many as are shown."""
    wanted = [child for wait in state.waits.values() for child in _children_of(state, wait)]
    return [child for child in wanted if not state.children[child].state][:CHILDREN_SHOWN_MAX]


def waits_of(state: Execution, signing_key: bytes, child_states: Mapping[str, str]) -> list[WaitShape]:
    """All that is open, at most 50. `child_states` has what the view knows of children that have not ended."""
    return [_shape(state, wait, signing_key, child_states) for wait in list(state.waits.values())[:WAITS_SHOWN_MAX]]


def _shape(state: Execution, wait: Wait, signing_key: bytes, child_states: Mapping[str, str]) -> WaitShape:
    token = make_token(signing_key, state.id, wait.key) if wait.wait == "token" else None
    rivals = [other.key for other in state.waits.values() if wait.group and other.group == wait.group]
    children = [
        ChildShape(
            id=child, function=state.children[child].child.function,
            state=state.children[child].state or child_states.get(child),
        )
        for child in _children_of(state, wait)[:CHILDREN_SHOWN_MAX]
    ]  # fmt: skip
    return WaitShape(
        step=wait.key, kind="call" if wait.wait == "children" else wait.wait, until=instant(wait.until),
        name=wait.name or None, match=wait.match, token=token, children=children,
        any_of=rivals if len(rivals) > 1 else [], wakes_when=_sentence(state, wait),
    )  # fmt: skip


def _children_of(state: Execution, wait: Wait) -> list[str]:
    if wait.wait != "children":
        return []
    op = state.ops.get(wait.key)
    ids = op.children if op is not None and op.children else wait.children
    return [child for child in ids if child in state.children]


def _sentence(state: Execution, wait: Wait) -> str:
    limit = f", or it is {rfc3339(wait.until)}" if wait.until is not None else ""
    match wait.wait:
        case "sleep":
            return f"It is {rfc3339(wait.until)}." if wait.until is not None else "It is cancelled."
        case "event":
            pairs = " and ".join(f"data.{path} = {bytes(value).decode()}" for path, value in wait.match.items())
            return f"An event {wait.name} comes{f' with {pairs}' if pairs else ''}{limit}."
        case "token":
            return f"Somebody uses the token of {wait.key}{limit}."
        case "message":
            return f"A message comes on channel {wait.name}{limit}."
        case "children":
            known = _children_of(state, wait)
            left = sum(not state.children[child].state for child in known)
            which = "the child ends" if len(known) == 1 else f"the last {left} of {len(known)} children end"
            return f"{which[0].upper()}{which[1:]}{limit}."


def why_waiting(state: Execution) -> Why:
    """The reason of one that is suspended: whichever of its waits is over first wakes it."""
    waits = list(state.waits.values())
    names = ", ".join(wait.key for wait in waits[:5]) + (f" and {len(waits) - 5} more" if len(waits) > 5 else "")
    sentences = [_sentence(state, wait) for wait in waits[:5]]
    more = [f"One of {len(waits) - 5} other waits is over."] if len(waits) > 5 else []
    return Why(
        rule="waiting",
        detail=f"Attempt {state.attempt} waits for {names} and holds no slot.",
        starts_when=" Or: ".join(sentences + more),
        at=state.wakes_at,
    )


def why_paused(state: Execution) -> Why:
    """The reason of one that failed and waits for a fix."""
    error = state.error
    what = f"{error.code}: {error.message}"[:300] if error is not None else "an error"
    return Why(
        rule="paused",
        detail=f"Attempt {state.attempt} was the last and failed with {what}. It is paused until that is mended.",
        starts_when=f"Somebody resumes it: `penstock executions resume {state.id}`.",
    )


def undoing(state: Execution) -> str:
    """What is said first of one whose steps are being undone; empty for others."""
    if state.compensating is None or state.is_final:
        return ""
    left = len(state.undoable)
    steps = f"{left} step{'' if left == 1 else 's'} to be undone" if left else "nothing left to be undone"
    return f"It is going to be {state.compensating.outcome} ({state.compensating.error.code}), with {steps}. "
