"""Work on a whole batch in slices, so that requests in the same process wait for one slice and not for all of it.

Such work is a generator that stops after each slice, and returns what came of it.
"""

import asyncio
from collections.abc import Generator, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

SLICE = 100
"""Facts that are gone through at once: one or two milliseconds."""

Sliced = Generator[None, None, T]


def slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items, a slice at a time."""
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]


def finished(work: Sliced[T]) -> T:
    """All of it at once."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


async def in_turns(work: Sliced[T]) -> T:
    """All of it, and between two slices whatever else wants to run."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
