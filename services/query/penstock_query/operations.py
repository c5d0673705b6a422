"""The steps, waits and calls of one execution as its facts tell them, in the order in which they were begun. Pure."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve_durable import UNDO
from penstock.domain.execution.inherit import Inherited
from penstock.domain.execution.state import Op
from penstock.ports import Recorded
from penstock_query.shapes import ErrorShape, error_shape, instant, rfc3339

NULL = Raw(b"null")


class ChildShape(msgspec.Struct, frozen=True, kw_only=True):
    """A child execution. Its state is null as long as its parent has not heard of its end."""

    id: str
    function: str
    state: str | None = None


class StepShape(msgspec.Struct, frozen=True, kw_only=True):
    """One step, wait or call.

    `kind` is step, undo, sleep, event, token, message or call. `state` is running, retrying, waiting, completed or
    failed; `outcome` says how a wait ended: elapsed, event, completed, rejected, timed_out, message, children or
    detached, `lost` when an alternative was over first, `closed` with the execution. `name` is that of the event, or
    the channel. A large result is null here and has `result_ref`, its name in the object store.
    """

    step: str
    kind: str
    state: str
    attempt: int
    started_at: str
    finished_at: str | None = None
    failures: int = 0
    retry_at: str | None = None
    until: str | None = None
    name: str | None = None
    match: dict[str, Raw] = {}
    outcome: str | None = None
    result: Raw
    result_ref: str | None = None
    error: ErrorShape | None = None
    children: list[ChildShape] = []
    inherited: bool = False
    """Taken over from the execution that this one was restarted from."""


def operations_of(recorded: Sequence[Recorded], inherited: Inherited | None = None) -> list[StepShape]:
    """All of them; those taken over first."""
    story = _Story(inherited or Inherited())
    for entry in recorded:
        story.add(entry.fact)
    return list(story.shapes.values())


class _Story:
    """What the facts so far have told."""

    def __init__(self, inherited: Inherited) -> None:
        self.shapes = {key: _taken_over(key, op, inherited) for key, op in inherited.ops.items()}
        self._attempt = 0
        self._groups: dict[str, str] = {}

    def add(self, fact: f.AnyFact | f.Unknown) -> None:
        match fact:
            case f.Started():
                self._attempt = fact.attempt
            case f.StepStarted() | f.StepCompleted() | f.StepFailed():
                self.shapes[fact.step] = self._step(fact)
            case f.WaitOpened():
                for wait in fact.waits:
                    self._open(wait, fact.at)
            case f.Woken():
                self._woken(fact)
            case f.ChildCalled():
                self._called(fact)
            case f.ChildCompleted():
                self._child_completed(fact)
            case f.Compensating() | f.Succeeded() | f.Failed() | f.Cancelled() | f.Discarded():
                self._close([key for key, shape in self.shapes.items() if shape.state == "waiting"], fact.at, "closed")
            case _:
                return

    def _step(self, fact: f.StepStarted | f.StepCompleted | f.StepFailed) -> StepShape:
        before = self.shapes.get(fact.step)
        started_at = rfc3339(fact.at if isinstance(fact, f.StepStarted) else fact.started_at)
        shape = StepShape(
            step=fact.step,
            kind="undo" if fact.step.endswith(UNDO) else "step",
            state="running",
            attempt=fact.attempt,
            started_at=before.started_at if before is not None else started_at,
            failures=before.failures if before is not None else 0,
            result=NULL,
        )
        if isinstance(fact, f.StepCompleted):
            at = rfc3339(fact.at)
            return replace(shape, state="completed", finished_at=at, result=fact.result, result_ref=fact.result_ref)
        if isinstance(fact, f.StepFailed):
            again = fact.retry_at is not None
            return replace(
                shape, state="retrying" if again else "failed", finished_at=None if again else rfc3339(fact.at),
                failures=fact.failures, retry_at=instant(fact.retry_at), error=error_shape(fact.error),
            )  # fmt: skip
        return shape

    def _open(self, wait: f.Wait, at: int) -> None:
        self._groups[wait.key] = wait.group
        call = self.shapes.get(wait.key)
        if call is not None and call.kind == "call":
            self.shapes[wait.key] = replace(call, until=instant(wait.until))
            return
        self.shapes[wait.key] = StepShape(
            step=wait.key, kind=wait.wait, state="waiting", attempt=self._attempt, started_at=rfc3339(at),
            until=instant(wait.until), name=wait.name or None, match=wait.match, result=NULL,
        )  # fmt: skip

    def _woken(self, fact: f.Woken) -> None:
        at = rfc3339(fact.at)
        before = self.shapes.get(fact.wait) or StepShape(
            step=fact.wait, kind="token", state="waiting", attempt=self._attempt, started_at=at, result=NULL
        )
        self.shapes[fact.wait] = replace(
            before, state="completed", finished_at=at, outcome=fact.outcome, result=fact.result,
            result_ref=fact.result_ref, error=error_shape(fact.error),
        )  # fmt: skip
        self._lose_to(fact.wait, fact.at)

    def _called(self, fact: f.ChildCalled) -> None:
        done = fact.detached
        self.shapes[fact.call] = StepShape(
            step=fact.call, kind="call", state="completed" if done else "waiting", attempt=self._attempt,
            started_at=rfc3339(fact.at), finished_at=rfc3339(fact.at) if done else None,
            outcome="detached" if done else None, result=NULL,
            children=[ChildShape(id=child.id, function=child.function) for child in fact.children],
        )  # fmt: skip

    def _child_completed(self, fact: f.ChildCompleted) -> None:
        call = self.shapes.get(fact.call)
        if call is None:
            return
        children = [replace(one, state=fact.state) if one.id == fact.child else one for one in call.children]
        call = replace(call, children=children)
        if call.state == "waiting" and all(one.state is not None for one in children):
            single = len(children) == 1
            call = replace(
                call, state="completed", finished_at=rfc3339(fact.at), outcome="children",
                result=fact.result if single and fact.result is not None else NULL,
                result_ref=fact.result_ref if single else None, error=error_shape(fact.error) if single else None,
            )  # fmt: skip
            self._lose_to(fact.call, fact.at)
        self.shapes[fact.call] = call

    def _lose_to(self, key: str, at: int) -> None:
        """Alternatives of what is over have lost. Children that were alternatives go on."""
        group = self._groups.get(key)
        if group:
            rivals = [other for other, name in self._groups.items() if name == group and other != key]
            self._close([other for other in rivals if self.shapes[other].kind != "call"], at, "lost")

    def _close(self, keys: Sequence[str], at: int, outcome: str) -> None:
        for key in keys:
            shape = self.shapes[key]
            if shape.state == "waiting":
                self.shapes[key] = replace(shape, state="completed", finished_at=rfc3339(at), outcome=outcome)


def _taken_over(key: str, op: Op, inherited: Inherited) -> StepShape:
    kids = [inherited.children[one] for one in op.children if one in inherited.children]
    return StepShape(
        step=key, kind=op.kind, state="failed" if op.kind == "step" and op.error is not None else "completed",
        attempt=0, started_at=rfc3339(op.at), finished_at=rfc3339(op.at), failures=op.failures,
        outcome=None if op.kind == "step" else op.outcome, result=op.result, result_ref=op.result_ref,
        error=error_shape(op.error), inherited=True,
        children=[ChildShape(id=kid.child.id, function=kid.child.function, state=kid.state or None) for kid in kids],
    )  # fmt: skip
