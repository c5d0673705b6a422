"""Our states in Defer's words, and back."""

import pytest

from penstock.defer.states import FINAL, DeferState, defer_state, our_states
from penstock.domain.execution.state import FINAL_STATES, State

FRESH = {
    "queued": "created", "scheduled": "created", "running": "started", "waiting": "started", "retrying": "started",
    "cancelling": "aborting", "succeeded": "succeed", "failed": "failed", "cancelled": "cancelled",
    "discarded": "discarded",
}  # fmt: skip


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_word(state: State) -> None:
    """As long as no attempt has started."""
    assert defer_state(state, has_started=False) == FRESH[state]


@pytest.mark.parametrize("state", list(State))
def test_what_has_started_never_becomes_created_again(state: State) -> None:
    """Neither for a retry nor after a wait; and what was cancelled midway is `aborted`."""
    words = {**FRESH, "queued": "started", "cancelled": "aborted"}
    if state is not State.SCHEDULED:
        assert defer_state(state, has_started=True) == words[state]


@pytest.mark.parametrize("word", sorted(set(FRESH.values()) | {"aborted"}))
def test_a_word_means_exactly_the_states_that_have_it(word: DeferState) -> None:
    """So that a filter by the word finds them all and no others."""
    meant = our_states(word)
    for state in State:
        for has_started in (True, False):
            found = any(each is state and started in (None, has_started) for each, started in meant)
            assert found == (defer_state(state, has_started=has_started) == word)


def test_the_final_words_are_those_of_final_states() -> None:
    """No client polls for ever, and none gives up too early."""
    words = {defer_state(state, has_started=started) for state in FINAL_STATES for started in (True, False)}
    assert words == FINAL
