"""Tokens of waits: made the same way every time, and by nobody else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import Rejected
from penstock.domain.execution.tokens import make_token, read_token
from penstock.domain.limits import step_name_chars_max, token_chars_max
from penstock.testing.given import EXECUTION_ID

SECRET = b"s" * 32
TOKEN = make_token(SECRET, EXECUTION_ID, "approval#2")


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=step_name_chars_max))
def test_a_token_says_which_wait_it_ends(key: str) -> None:
    """Whatever the wait is called, it fits into an address."""
    token = make_token(SECRET, EXECUTION_ID, key)
    assert read_token(SECRET, token) == (EXECUTION_ID, key)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(token) <= token_chars_max


def test_a_replay_makes_the_same_token() -> None:
    """Code that sends it twice sends one right, not two."""
    assert make_token(SECRET, EXECUTION_ID, "approval#2") == TOKEN


@pytest.mark.parametrize("other", [make_token(b"t" * 32, EXECUTION_ID, "approval#2"), "", "pt_", "approval", TOKEN[3:]])
def test_what_was_not_signed_here_is_unknown(other: str) -> None:
    """Other keys, other texts, half a token."""
    with pytest.raises(Rejected) as refusal:
        read_token(SECRET, other)
    assert refusal.value.code == "unknown_token"


@pytest.mark.parametrize("position", range(3, len(TOKEN)))
def test_no_character_of_a_token_can_be_changed(position: int) -> None:
    """Neither the signature, nor the execution, nor the wait; also not in a way that decodes to the same bytes."""
    for other in "AZz9-_=é\n":
        if other != TOKEN[position]:
            with pytest.raises(Rejected, match="token"):
                read_token(SECRET, TOKEN[:position] + other + TOKEN[position + 1 :])


def test_a_token_over_the_limit_is_unknown() -> None:
    """It is not even decoded."""
    longest = (token_chars_max - 3) * 3 // 4 - 32
    assert read_token(SECRET, make_token(SECRET, EXECUTION_ID, "k" * longest))[1] == "k" * longest
    with pytest.raises(Rejected, match="token"):
        read_token(SECRET, make_token(SECRET, EXECUTION_ID, "k" * (longest + 1)))


def test_a_token_for_nothing_is_unknown() -> None:
    """A signature over an id that no execution has, or over no wait."""
    for content in (b"", bytes(16) + b"key", bytes.fromhex(EXECUTION_ID)):
        with pytest.raises(Rejected, match="token"):
            read_token(SECRET, "pt_" + base64.urlsafe_b64encode(bytes(16) + content).decode().rstrip("="))
