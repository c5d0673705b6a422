"""The scheduler's clock never runs ahead of the server that fires its timers."""

import pytest

from penstock.jetstream.clock import HeldBackClock
from penstock.ports import Unavailable

NOW = 1_000_000_000


async def held_back(server_ahead: float, error: float) -> int:
    async def skew() -> tuple[float, float]:
        return server_ahead, error

    clock = HeldBackClock(lambda: NOW, skew)
    await clock.look()
    return clock()


async def test_a_clock_that_is_ahead_is_held_back() -> None:
    """By as much as is certain."""
    assert await held_back(-5.0, 0.01) == NOW - 4_990_000


@pytest.mark.parametrize(("server_ahead", "error"), [(5.0, 0.01), (0.0, 0.0), (-0.005, 0.01)])
async def test_a_clock_that_is_behind_or_right_is_left_alone(server_ahead: float, error: float) -> None:
    """What it wakes is late at worst; and a slow answer proves nothing."""
    assert await held_back(server_ahead, error) == NOW


async def test_a_server_that_does_not_answer_changes_nothing() -> None:
    """What was known last counts."""
    answers: list[float | None] = [-3.0, None]

    async def skew() -> tuple[float, float]:
        server_ahead = answers.pop(0)
        if server_ahead is None:
            raise Unavailable("away")
        return server_ahead, 0.0

    clock = HeldBackClock(lambda: NOW, skew)
    await clock.look()
    await clock.look()
    assert clock() == NOW - 3_000_000
