"""The fold: an execution after one more fact. Total over all facts; an unknown one only moves the number."""

from collections.abc import Iterable
from operator import attrgetter
from typing import assert_never

from msgspec.structs import replace

from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve_durable import DURABLE, evolve_durable
from penstock.domain.execution.state import Execution, State
from penstock.domain.limits import losses_max


def evolve(state: Execution | None, execution_id: str, fact: f.AnyFact | f.Unknown, sequence: int = 0) -> Execution:
    """The state after `fact`, which stands at `sequence` in the log. Only `enqueued` may come first."""
    if type(fact) is f.Enqueued:
        return _created(execution_id, fact, sequence)
    if state is None:
        raise ValueError(f"the first fact of an execution is `enqueued`, not `{f.kind_of(fact)}`")
    n, at = fact.n, fact.at
    # What nearly all executions have comes first, since each case that does not fit costs as much as the fold itself.
    if type(fact) is f.Started:
        return _started(state, fact, sequence)
    if type(fact) is f.Succeeded:
        return _ended(state, fact, sequence, State.SUCCEEDED, None)
    if isinstance(fact, DURABLE):
        return evolve_durable(replace(state, n=n, sequence=sequence, updated_at=at), fact)
    cancelling = _is_cancelling(state)
    match fact:
        case f.Due():
            return replace(
                state, n=n, sequence=sequence, updated_at=at,
                state=State.CANCELLING if cancelling else State.QUEUED,
                activation=0 if fact.gated else n, owner="", scheduled_at=None,
                due_at=state.due_at if state.has_started else min(state.due_at, at),
            )  # fmt: skip
        case f.Admitted():
            return replace(
                state, n=n, sequence=sequence, updated_at=at,
                state=State.CANCELLING if cancelling else State.QUEUED, activation=n, owner="",
            )  # fmt: skip
        case f.Joined():
            return replace(
                state, n=n, sequence=sequence, updated_at=at, state=State.WAITING, scheduled_at=None,
                leader=fact.leader, join_reason=fact.reason, index=fact.index,
            )  # fmt: skip
        case f.Followed():
            return replace(state, n=n, sequence=sequence, updated_at=at, is_followed=True)
        case f.Failed():
            return _ended(state, fact, sequence, State.FAILED, fact.error)
        case f.Cancelled():
            error = f.ErrorInfo(code="cancelled", message=fact.reason or "The execution was cancelled.")
            return _ended(state, fact, sequence, State.CANCELLED, error)
        case f.Discarded():
            error = f.ErrorInfo(code="discarded", message=fact.reason or "The execution was not started in time.")
            return _ended(state, fact, sequence, State.DISCARDED, error)
        case f.RetryScheduled():
            return replace(
                state, n=n, sequence=sequence, updated_at=at, state=State.RETRYING, activation=0, owner="",
                error=fact.error, failures=state.failures + 1, scheduled_at=fact.retry_at,
            )  # fmt: skip
        case f.AttemptLost():
            return replace(
                state, n=n, sequence=sequence, updated_at=at,
                state=State.CANCELLING if cancelling else State.QUEUED,
                activation=0, owner="", losses=state.losses + (fact.reason != "drained"),
            )  # fmt: skip
        case f.Rescheduled():
            return replace(
                state, n=n, sequence=sequence, updated_at=at, state=State.SCHEDULED, activation=0,
                scheduled_at=fact.run_at, due_at=fact.run_at,
            )  # fmt: skip
        case f.CancelRequested():
            return replace(
                state, n=n, sequence=sequence, updated_at=at, state=State.CANCELLING,
                cancel_forced=state.cancel_forced or fact.force,
            )  # fmt: skip
        case f.Unknown():
            return replace(state, n=n, sequence=sequence, updated_at=at)
        case _:
            assert_never(fact)


def fold(execution_id: str, history: Iterable[tuple[int, f.AnyFact | f.Unknown]]) -> Execution | None:
    """The state after (sequence, fact) pairs in log order; None if there are none."""
    state: Execution | None = None
    for sequence, fact in history:
        state = evolve(state, execution_id, fact, sequence)
    return state


_CARRIED = (
    "discard_at", "deadline_at", "gated", "priority", "retries", "policy", "timeout", "parent_span", "tracestate",
    "baggage", "links", "event_id", "parent_id", "root_id", "rerun_of", "content_hash", "inherited_ref",
    "restarted_from", "hooks",
)  # fmt: skip
"""Fields of the first fact that the state has under the same name."""
_carried = attrgetter(*_CARRIED)
_NOTHING_CARRIED = _carried(f.Enqueued(n=0, at=0, function="", trace_id=""))


def _created(execution_id: str, fact: f.Enqueued, sequence: int) -> Execution:
    state = Execution(
        id=execution_id, function=fact.function, n=fact.n, sequence=sequence,
        state=State.SCHEDULED if fact.run_at is not None else State.QUEUED,
        created_at=fact.at, updated_at=fact.at, scheduled_at=fact.run_at, due_at=fact.run_at or fact.at,
        activation=fact.n if f.opens_activation(fact) else 0, metadata=fact.metadata, trace_id=fact.trace_id,
        is_followed=bool(fact.members),
    )  # fmt: skip
    carried = _carried(fact)
    if carried == _NOTHING_CARRIED:
        # A struct looks for the place of each field that is named: naming all of them takes three times as long.
        return state
    return replace(state, **dict(zip(_CARRIED, carried, strict=True)))


def _is_cancelling(state: Execution) -> bool:
    undoing = state.compensating
    return state.state is State.CANCELLING or (undoing is not None and undoing.outcome == "cancelled")


def _started(state: Execution, fact: f.Started, sequence: int) -> Execution:
    return replace(
        state, n=fact.n, sequence=sequence, updated_at=fact.at,
        state=State.CANCELLING if _is_cancelling(state) else State.RUNNING,
        attempt=fact.attempt, owner=fact.runner, version=fact.version,
        losses_allowed=losses_max if fact.losses is None else fact.losses,
        started_at=state.started_at or fact.at, scheduled_at=None, resuming=False,
    )  # fmt: skip


def _ended(state: Execution, fact: f.Fact, sequence: int, final: State, error: f.ErrorInfo | None) -> Execution:
    return replace(
        state, n=fact.n, sequence=sequence, updated_at=fact.at, finished_at=fact.at, state=final, error=error,
        activation=0, owner="", scheduled_at=None, suspended=False, paused=False, waits={},
    )  # fmt: skip
