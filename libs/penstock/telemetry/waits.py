"""Open waits and calls of one execution, for their spans: what began when, and what brings it to its end. Pure."""

from typing import NamedTuple

from penstock.domain.execution import facts as f
from penstock.telemetry import names as t

LOST = "lost"
"""Outcome of a wait whose alternative was over first."""
CLOSED = "closed"
"""Outcome of what was still open when the execution ended or began to be undone."""


class Over(NamedTuple):
    """A wait or a call that has ended: the span's name, the path of its id, its parent and where it began."""

    name: str
    path: tuple[str, ...]
    parent: str
    since: int
    attributes: dict[str, str | int]
    error: f.ErrorInfo | None = None


class _Wait(NamedTuple):
    wait: f.Wait
    n: int
    since: int
    parent: str


class _Call(NamedTuple):
    key: str
    attempt: int
    since: int
    parent: str
    children: int
    left: frozenset[str]


class Pending:
    """What an execution waits for. Waiting for children is part of the call that made them."""

    __slots__ = ("_calls", "_waits")

    def __init__(self) -> None:
        self._waits: dict[str, _Wait] = {}
        self._calls: dict[str, _Call] = {}

    def opened(self, fact: f.WaitOpened, parent: str) -> None:
        for wait in fact.waits:
            if wait.wait != "children":
                self._waits[wait.key] = _Wait(wait, fact.n, fact.at, parent)

    def woken(self, fact: f.Woken) -> list[Over]:
        """The wait that is over, and its alternatives."""
        call = self._calls.pop(fact.wait, None)
        if call is not None:
            return [_call_over(call, fact.outcome, fact.error)]
        found = self._waits.pop(fact.wait, None)
        if found is None:
            return []
        return [_wait_over(found, fact.outcome, fact.error), *self._alternatives(found.wait.group)]

    def called(self, fact: f.ChildCalled, attempt: int, parent: str) -> list[Over]:
        """A detached call is over at once."""
        ids = frozenset(child.id for child in fact.children)
        call = _Call(fact.call, attempt, fact.at, parent, len(ids), ids)
        if fact.detached:
            return [_call_over(call, "detached")]
        self._calls[fact.call] = call
        return []

    def child_completed(self, fact: f.ChildCompleted) -> list[Over]:
        """The call is over when the last of its children is."""
        call = self._calls.get(fact.call)
        if call is None:
            return []
        call = call._replace(left=call.left - {fact.child})
        self._calls[fact.call] = call
        if call.left:
            return []
        del self._calls[fact.call]
        return [_call_over(call, "children", fact.error)]

    def close_waits(self) -> list[Over]:
        """The function waits no more."""
        waits, self._waits = self._waits, {}
        return [_wait_over(each, CLOSED) for each in waits.values()]

    def close_all(self) -> list[Over]:
        """The execution is over."""
        calls, self._calls = self._calls, {}
        return [*self.close_waits(), *(_call_over(each, CLOSED) for each in calls.values())]

    def _alternatives(self, group: str) -> list[Over]:
        lost = [key for key, each in self._waits.items() if group and each.wait.group == group]
        return [_wait_over(self._waits.pop(key), LOST) for key in lost]


def _wait_over(each: _Wait, outcome: str, error: f.ErrorInfo | None = None) -> Over:
    wait = each.wait
    attributes: dict[str, str | int] = {t.WAIT_NAME: wait.key, t.WAIT_KIND: wait.wait, t.WAIT_OUTCOME: outcome}
    if wait.name:
        attributes[t.WAIT_FOR] = wait.name
    return Over(f"{t.WAIT} {wait.key}", ("wait", str(each.n), wait.key), each.parent, each.since, attributes, error)


def _call_over(call: _Call, outcome: str, error: f.ErrorInfo | None = None) -> Over:
    attributes: dict[str, str | int] = {
        t.WAIT_NAME: call.key, t.CHILDREN: call.children, t.WAIT_OUTCOME: outcome, t.ATTEMPT_NUMBER: call.attempt
    }  # fmt: skip
    path = ("attempt", str(call.attempt), "call", call.key)
    return Over(f"{t.CALL} {call.key}", path, call.parent, call.since, attributes, error)
