"""Our states in Defer's words, and back."""

from collections.abc import Collection
from typing import Literal

from penstock.domain.execution.state import Execution, State

DeferState = Literal["created", "started", "succeed", "failed", "cancelled", "aborting", "aborted", "discarded"]

_WORDS: dict[State, DeferState] = {
    State.QUEUED: "created",
    State.SCHEDULED: "created",
    State.RUNNING: "started",
    State.WAITING: "started",
    State.RETRYING: "started",
    State.CANCELLING: "aborting",
    State.SUCCEEDED: "succeed",
    State.FAILED: "failed",
    State.DISCARDED: "discarded",
}

FINAL: frozenset[DeferState] = frozenset({"succeed", "failed", "cancelled", "aborted", "discarded"})


def defer_state(state: State, *, has_started: bool) -> DeferState:
    """The state in Defer's words. It stays `started` over retries and waits: its result is the final one.

    An execution that has started and is queued again, for a retry or after a wait, does not become `created` anew.
    """
    if state is State.CANCELLED:
        return "aborted" if has_started else "cancelled"
    if state is State.QUEUED and has_started:
        return "started"
    return _WORDS[state]


def state_of(execution: Execution) -> DeferState:
    return defer_state(execution.state, has_started=execution.has_started)


def our_states(word: DeferState) -> Collection[tuple[State, bool | None]]:
    """What `word` means in ours: states, each with whether an attempt must have started (None: it does not matter)."""
    found: list[tuple[State, bool | None]] = []
    for state in State:
        started, fresh = (defer_state(state, has_started=each) == word for each in (True, False))
        if started or fresh:
            found.append((state, None if started and fresh else started))
    return found
