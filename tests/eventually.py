"""Waiting for something to become true, with a deadline, in place of sleeping and hoping."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_AGAIN_SECONDS = 0.01


async def eventually(look: Callable[[], T | Awaitable[T]], within: float = 10.0) -> T:
    """The first truthy answer of `look`; fails with the last one when the time is over."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        answer = look()
        found: T = await answer if inspect.isawaitable(answer) else answer  # type: ignore[assignment]
        if found:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {within:g} s; the last answer was {found!r}")
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
