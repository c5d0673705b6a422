"""What only the flow state knows, for those who ask: why something does not start, and how full each limit is."""

import msgspec

from penstock.domain.flow.limits import ENVIRONMENT
from penstock.domain.flow.lines import Status
from penstock.domain.flow.state import FlowState
from penstock.domain.flow.why import why
from penstock.jetstream.questions import Questions
from penstock.ports import Clock
from penstock_scheduler.admission import Admission

KEYS_MAX = 100


class KeyUse(msgspec.Struct):
    """One key of a limit."""

    key: str
    used: int


class LimitUse(msgspec.Struct):
    """One limit now: what was declared, what was set instead, and who uses it."""

    target: str
    limit: int | None
    declared: int | None
    changed: int | None
    period: float | None
    used: int
    keys: list[KeyUse]
    """The fullest keys."""


class FlowAnswer(msgspec.Struct):
    limits: list[LimitUse]
    paused: list[dict[str, str]]
    waiting: dict[str, int]
    """Function -> executions that wait for admission."""


class Answers:
    """Answers to the questions of other services."""

    def __init__(self, admission: Admission, clock: Clock) -> None:
        self._admission = admission
        self._clock = clock

    async def open(self, questions: Questions) -> None:
        await questions.answer("why", self.why)
        await questions.answer("limits", self.limits)

    async def why(self, body: bytes) -> bytes:
        """The body is an execution id; `null` where flow control does not stop it."""
        return msgspec.json.encode(why(self._admission.state, body.decode("ascii", "replace"), self._clock()))

    async def limits(self, _: bytes) -> bytes:
        return msgspec.json.encode(flow_answer(self._admission.state, self._clock()))


def flow_answer(state: FlowState, now: int) -> FlowAnswer:
    """All limits that exist, with their use."""
    used: dict[str, list[KeyUse]] = {}
    for gate in state.gates.values():
        count = len(gate.holders)
        if gate.rule.period:
            count = sum(at + gate.rule.period > now for at in gate.recent)
        used.setdefault(gate.rule.target, []).append(KeyUse(gate.key, count))
    limits = []
    for target, rule in sorted(state.rules.items()):
        if rule.n is None:
            continue
        keys = sorted(used.get(target, []), key=lambda each: (-each.used, each.key))
        total = len(state.held) if target == ENVIRONMENT else sum(each.used for each in keys)
        shown = [each for each in keys if each.key][:KEYS_MAX]
        period = rule.period / 1_000_000 if rule.period else None
        limits.append(LimitUse(target, rule.n, rule.declared, rule.changed, period, total, shown))
    paused: list[dict[str, str]] = [{"function": ""}] if state.is_paused else []
    waiting: dict[str, int] = {}
    for name, lines in sorted(state.functions.items()):
        if lines.is_paused:
            paused.append({"function": name})
        paused += [{"function": name, "key": key} for key in sorted(lines.paused_keys)]
        members = (item for line in lines.lines.values() for item in line.members.values())
        count = sum(item.status in (Status.WAITING, Status.GATHERING) for item in members)
        if count:
            waiting[name] = count
    return FlowAnswer(limits, paused, waiting)
