"""Work in slices: nobody waits for all of it, and nothing of it is lost."""

import asyncio

from penstock_query.slices import SLICE, Sliced, finished, in_turns, slices


def _sum(numbers: list[int]) -> Sliced[int]:
    total = 0
    for part in slices(numbers):
        total += sum(part)
        yield
    return total


def test_slices_hold_everything_once_and_in_order() -> None:
    """The last one is what is left."""
    numbers = list(range(2 * SLICE + 1))
    parts = list(slices(numbers))
    assert [len(part) for part in parts] == [SLICE, SLICE, 1]
    assert [number for part in parts for number in part] == numbers
    assert list(slices([])) == []


async def test_others_run_between_two_slices() -> None:
    """And the result is that of all at once."""
    numbers, turns = list(range(10 * SLICE)), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    assert await in_turns(_sum(numbers)) == finished(_sum(numbers)) == sum(numbers)
    running.cancel()
    assert turns >= 9
