"""Why a gated execution does not run: the rule, who holds the slots, its place, what would start it."""

from penstock.domain.flow.arrival import limit_text
from penstock.domain.flow.functions import blocking
from penstock.domain.flow.gates import ANY_TIME, Gate
from penstock.domain.flow.limits import CONCURRENCY
from penstock.domain.flow.lines import Item, Status
from penstock.domain.flow.reason import HOLDERS_MAX, Why
from penstock.domain.flow.state import FlowState
from penstock.domain.flow.why_together import why_gathering, why_joining


def why(state: FlowState, execution_id: str, now: int) -> Why | None:
    """The answer for an execution that waits for admission; None where flow control does not stop it."""
    item = state.items.get(execution_id)
    if item is None or item.status in (Status.AWAY, Status.HOLDING):
        return None
    if item.status is Status.DROPPED:
        return Why(rule="dropped", detail=item.reason, starts_when="Never: it is being discarded.")
    if item.status is Status.GATHERING:
        return why_gathering(state, item, now)
    if item.status is Status.JOINING:
        return why_joining(state, item)
    answer = _rule(state, item, now)
    answer.position = item.line.ahead_of(item) + 1
    return answer


def _rule(state: FlowState, item: Item, now: int) -> Why:
    lines = state.functions[item.line.function]
    key = item.line.keys.get(CONCURRENCY, "")
    if state.is_paused:
        return _paused("environment_paused", "The environment is paused.", "environment")
    if lines.is_paused:
        return _paused("function_paused", f"Function {lines.name} is paused.", f"function:{lines.name}")
    if key in lines.paused_keys:
        return _paused("key_paused", f"Key {key!r} of function {lines.name} is paused.", f"function:{lines.name}", key)
    head = item.line.head() or item
    gate = blocking(item.line, head, now)
    if gate is not None:
        return _full(gate, head, now)
    n = state.environment.n
    if n is not None and len(state.held) >= n:
        return Why(
            rule="environment_limit",
            detail=f"The limit of the environment ({n}) is used up; it is shared out evenly between functions.",
            starts_when="One of the holders ends or pauses, and this function is the one with the fewest slots.",
            target="environment",
            limit=n,
            holders=list(state.held)[:HOLDERS_MAX],
            holder_count=len(state.held),
        )
    if head is not item:
        return Why(
            rule="behind_others",
            detail="Others of the same line come first, and there is room for them.",
            starts_when="They are being admitted now.",
        )
    return Why(rule="being_admitted", detail="All its limits have room.", starts_when="It is being admitted now.")


def _paused(rule: str, detail: str, target: str, key: str | None = None) -> Why:
    return Why(rule=rule, detail=detail, starts_when="Somebody resumes it.", target=target, key=key)


def _full(gate: Gate, head: Item, now: int) -> Why:
    text = limit_text(gate)
    if gate.rule.period:
        at = gate.opens_at()
        return Why(
            rule="throttle",
            detail=f"{text[0].upper()}{text[1:]} is used up.",
            starts_when="The window moves on." if at < ANY_TIME else "Somebody raises the limit.",
            target=gate.rule.target,
            key=gate.key or None,
            limit=gate.rule.n,
            at=at if now < at < ANY_TIME else None,
        )
    return Why(
        rule="shared_limit" if gate.rule.target.startswith("limit:") else "concurrency",
        detail=f"{text[0].upper()}{text[1:]} is used up.",
        starts_when="One of the holders ends or pauses, and those before it in the line have started.",
        target=gate.rule.target,
        key=gate.key or None,
        limit=gate.rule.n,
        holders=list(gate.holders)[:HOLDERS_MAX],
        holder_count=len(gate.holders),
    )
