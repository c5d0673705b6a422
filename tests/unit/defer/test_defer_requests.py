"""What callers of Defer's API send, at the edges of what is taken."""

import pytest
from msgspec import Raw

from penstock.defer.requests import (
    Enqueue,
    OldEnqueue,
    checked_metadata,
    decoded,
    instant,
    is_forced,
    resolved,
    start_at,
)
from penstock.domain.errors import Rejected
from penstock.domain.limits import defer_metadata_chars_max, defer_metadata_keys_max, delay_seconds_max

NOW = 1_700_000_000_000_000
"""2023-11-14T22:13:20Z."""


def test_metadata_fits_up_to_its_limits() -> None:
    """25 pairs of 256 characters, from the space to 127."""
    text = (" ~" * defer_metadata_chars_max)[:defer_metadata_chars_max]
    metadata = {
        f"{number}{text}"[:defer_metadata_chars_max]: text for number in range(10, 10 + defer_metadata_keys_max)
    }
    assert (len(metadata), checked_metadata(metadata)) == (25, metadata)


@pytest.mark.parametrize(
    "metadata",
    [
        {str(number): "v" for number in range(defer_metadata_keys_max + 1)},
        {"k" * (defer_metadata_chars_max + 1): "v"},
        {"k": "v" * (defer_metadata_chars_max + 1)},
        {"": "v"},
        {"k": ""},
        {"k": "line\nbreak"},
        {"k": "\x80"},
    ],
)
def test_metadata_beyond_its_limits_is_refused(metadata: dict[str, str]) -> None:
    """With a sentence about the key at fault."""
    with pytest.raises(Rejected, match="metadata"):
        checked_metadata(metadata)


def test_times_may_have_any_offset() -> None:
    """And any number of decimals."""
    assert instant("2023-11-14T22:13:20Z", "at") == instant("2023-11-14T23:13:20.000000+01:00", "at") == NOW


def test_only_a_time_ahead_delays() -> None:
    """Now is at once, to the microsecond."""
    assert start_at("2023-11-14T22:13:20Z", NOW) is None
    assert start_at("2023-11-14T22:13:20.000001Z", NOW) == NOW + 1


def test_a_time_may_lie_as_far_ahead_as_ours() -> None:
    """And not a microsecond further."""
    edge = NOW - delay_seconds_max * 1_000_000
    assert start_at("2023-11-14T22:13:20Z", edge) == NOW
    with pytest.raises(Rejected, match="schedule_for may not lie more than"):
        start_at("2023-11-14T22:13:20Z", edge - 1)


def test_a_discard_time_in_the_past_is_kept() -> None:
    """What was enqueued too late for it is discarded, not refused."""
    options = resolved(Enqueue("f", discard_after="2023-11-14T22:13:19Z"), NOW)
    assert (options.run_at, options.discard_at) == (None, NOW - 1_000_000)


def test_no_time_may_be_null_or_left_out() -> None:
    """JavaScript writes an invalid date as null."""
    for body in (b'{"function_name":"f","schedule_for":null,"discard_after":null}', b'{"function_name":"f"}'):
        options = resolved(decoded(Enqueue, body), NOW)
        assert (options.run_at, options.discard_at, options.metadata) == (None, None, {})


def test_version_1_says_the_same_in_other_words() -> None:
    """The name that its client uses goes first."""
    old = OldEnqueue("f", Raw(b"[1]"), schedule_for="a", scheduled_for="b", metadata={"k": "v"})
    assert old.as_new() == Enqueue("f", Raw(b"[1]"), "a", None, {"k": "v"})


def test_no_body_is_not_forced() -> None:
    """As it is by default."""
    assert (is_forced(b""), is_forced(b"{}"), is_forced(b'{"force":true}')) == (False, False, True)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (rb"x\ud83d", rb"x\ufffd"),
        (rb"\uDE00 ", rb"\ufffd "),
        (rb"\ud83d\ud83d\ude00", rb"\ufffd\ud83d\ude00"),
        (rb"\\ud83d\ud83d", rb"\\ud83d\ufffd"),
    ],
)
def test_half_a_character_is_taken(sent: bytes, kept: bytes) -> None:
    """JavaScript sends it for a string that was cut; whole ones, and what only looks like one, stay."""
    body = b'{"function_name":"f","function_arguments":["%s"]}'
    assert bytes(decoded(Enqueue, body % sent).function_arguments) == b'["%s"]' % kept
