"""Durations as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.durations import microseconds, seconds
from penstock.domain.errors import Rejected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250ms", 0.25), ("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800), ("1w2d3h", 788_400),
        ("1.5h", 5400), ("0.5d", 43_200), ("PT5M", 300), ("P1DT1H", 90_000), ("P1D", 86_400), (" 5s ", 5),
        (0, 0), (2.5, 2.5), (90, 90), (timedelta(minutes=1), 60), ("0s", 0), ("10us", 0.00001),
    ],
)  # fmt: skip
def test_a_duration_is(text: str, expected: float) -> None:
    """Text with units, ISO 8601, a number of seconds or a timedelta."""
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "soon", "5", "5 minutes", "-5s", "+5s", "P", "PT", "5x", "1h-30m", "\x00", "5s\n5s", "--1s", "1e9s",
        "s",
        "٣s",
        -1, -0.5, float("nan"), float("inf"), "inf", "nan", "-PT5M", True, None, [], timedelta(seconds=-1), 10**400,
        "9" * 400 + "d", "9" * 5000 + "h", "P" + "9" * 400 + "D", "d", "w",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With the code of the catalogue, whatever the mistake."""
    with pytest.raises(Rejected) as refusal:
        seconds(text, "delay")
    assert refusal.value.code == "invalid_duration"
    assert "delay" in refusal.value.detail


@given(text=st.text(max_size=20))
def test_no_text_breaks_the_parser(text: str) -> None:
    """It answers with a number or refuses."""
    try:
        assert seconds(text) >= 0
    except Rejected as rejected:
        code = rejected.code
    else:
        code = "invalid_duration"
    assert code == "invalid_duration"


@given(count=st.integers(0, 10**9))
def test_whole_microseconds_survive(count: int) -> None:
    """The unit of all times in facts."""
    assert microseconds(f"{count}us") == count
