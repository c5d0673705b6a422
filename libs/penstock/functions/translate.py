"""From what durable code asks for to the command that it means. Pure."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from penstock.domain.execution import commands as c
from penstock.domain.execution.facts import Child, ErrorInfo, Wait
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.execution.state import Execution
from penstock.functions import actions as a


def complete_step(action: a.CompleteStep, activation: int) -> c.CompleteStep:
    """The command that stores the result of a step."""
    return c.CompleteStep(
        activation=activation,
        step=action.step,
        started_at=action.started_at,
        result=Raw(action.result),
        position=action.position,
        undo=action.undo,
    )


def fail_step(action: a.FailStep, activation: int) -> c.FailStep:
    """The command that stores the failure of a step."""
    return c.FailStep(
        activation=activation,
        step=action.step,
        started_at=action.started_at,
        error=ErrorInfo(code=action.code, type=action.type, message=action.message, stack=action.stack),
        policy=msgspec.json.decode(action.policy, type=RetryPolicy),
        terminal=action.terminal,
        retry_after=action.retry_after,
        position=action.position,
    )


def open_waits(action: a.OpenWaits, activation: int, after: Mapping[str, int]) -> c.OpenWaits:
    """The command that opens waits; `after` holds, by key, the position in EVENTS from which on events count."""
    waits = [
        Wait(
            key=wait.key,
            wait=wait.wait,
            position=wait.position,
            until=wait.until,
            group=wait.group,
            name=wait.name,
            match=msgspec.json.decode(wait.match, type=dict[str, Raw]),
            after=after.get(wait.key, 0),
        )
        for wait in action.waits
    ]
    return c.OpenWaits(activation=activation, waits=waits, blocked=action.blocked, suspends=action.suspends)


def events_since(state: Execution, begun_at: int) -> int:
    """From when on events count for the waits of an activation that began then: none ends two, one after the other."""
    ends = (op.at for op in state.ops.values() if op.outcome == "event")
    return max(begun_at, max(ends, default=0))


def call_children(action: a.CallChildren, activation: int, children: list[Child]) -> c.CallChildren:
    """The command that says which children are called."""
    return c.CallChildren(
        activation=activation,
        call=action.call,
        children=children,
        position=action.position,
        detached=action.detached,
        on_cancel=action.on_cancel,
    )


def report_progress(action: a.ReportProgress, activation: int) -> c.ReportProgress:
    """The command that stores how far it is."""
    return c.ReportProgress(activation=activation, done=action.done, total=action.total, note=action.note)
