"""The attempts of one execution as Defer lists them: executions of their own, each with a state and its times.

An attempt is there as soon as it is sure to come: the first one with the execution, a retry with the failure before
it, and it is `created` until it starts.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from penstock.defer.states import DeferState
from penstock.domain.execution import facts as f
from penstock.domain.execution.facts import ErrorInfo


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, its number counted from 1. Times are microseconds since the epoch."""

    number: int
    state: DeferState
    created_at: int
    scheduled_at: int
    updated_at: int
    started_at: int | None = None
    error: ErrorInfo | None = None


def attempts_of(facts: Iterable[f.AnyFact | f.Unknown]) -> list[Attempt]:
    """The attempts in order; none only if there are no facts."""
    attempts: list[Attempt] = []
    for fact in facts:
        match fact:
            case f.Enqueued():
                attempts.append(_created(1, fact.at, fact.run_at or fact.at))
            case f.Started():
                _start(attempts, fact)
            case f.RetryScheduled():
                _end(attempts, fact, "failed", fact.error)
                attempts.append(_created(fact.attempt + 1, fact.at, fact.retry_at))
            case f.AttemptLost():
                # Handed back by a runner that stops: nothing has gone wrong with it.
                drained = fact.reason == "drained"
                _end(attempts, fact, "aborted" if drained else "failed", None if drained else _lost(fact))
                attempts.append(_created(fact.attempt + 1, fact.at, fact.at))
            case f.Resumed():
                attempts.append(_created(len(attempts) + 1, fact.at, fact.at))
            case _:
                if attempts:
                    _change(attempts, fact)
    return attempts


def _created(number: int, at: int, scheduled_at: int) -> Attempt:
    return Attempt(number=number, state="created", created_at=at, scheduled_at=scheduled_at, updated_at=at)


def _start(attempts: list[Attempt], fact: f.Started) -> None:
    """One that goes on after a wait stays the same attempt; what had been announced behind it does not come."""
    while attempts and attempts[-1].number > fact.attempt:
        attempts.pop()
    if not attempts or attempts[-1].number < fact.attempt:
        attempts.append(_created(fact.attempt, fact.at, fact.at))
    last = attempts[-1]
    if last.state == "created":
        attempts[-1] = replace(last, state="started", started_at=fact.at, updated_at=fact.at)


def _change(attempts: list[Attempt], fact: f.AnyFact | f.Unknown) -> None:
    """A fact that concerns the last attempt."""
    last = attempts[-1]
    match fact:
        case f.Rescheduled():
            attempts[-1] = replace(last, scheduled_at=fact.run_at, updated_at=fact.at)
        case f.Due() if last.state == "created":
            # Moved to now, if its time had not come yet.
            attempts[-1] = replace(last, scheduled_at=min(last.scheduled_at, fact.at))
        case f.CancelRequested() if last.state == "started":
            attempts[-1] = replace(last, state="aborting", updated_at=fact.at)
        case f.Succeeded():
            _end(attempts, fact, "succeed")
        case f.Failed() if last.state == "created" and last.number > fact.attempt > 0:
            # Too many losses, or the time of the whole execution is over: what had been announced does not come.
            attempts.pop()
        case f.Failed() | f.Paused():
            _end(attempts, fact, "failed", fact.error)
        case f.Joined():
            attempts[-1] = replace(last, state="started", updated_at=fact.at)
        case f.Cancelled():
            _end(attempts, fact, "cancelled" if last.started_at is None else "aborted")
        case f.Compensating():
            cancelled = fact.outcome == "cancelled"
            _end(attempts, fact, "aborted" if cancelled else "failed", None if cancelled else fact.error)
        case f.Discarded():
            _end(attempts, fact, "discarded")
        case _:
            pass


def _end(attempts: list[Attempt], fact: f.Fact, state: DeferState, error: ErrorInfo | None = None) -> None:
    last = attempts[-1]
    if last.state in ("created", "started", "aborting"):
        attempts[-1] = replace(last, state=state, updated_at=fact.at, error=error)


def _lost(fact: f.AttemptLost) -> ErrorInfo:
    code = "crashed" if fact.reason == "crashed" else "runner_lost"
    return ErrorInfo(code=code, message=f"The runner {fact.runner} was lost ({fact.reason}).")
