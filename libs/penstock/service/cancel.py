"""Cancels tasks until they have ended."""

import asyncio
from collections.abc import Collection

CANCEL_AGAIN_SECONDS = 0.5


async def cancel_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks and wait until all have ended.

    One cancel may not be enough: `asyncio.wait_for` of Python 3.11 swallows one that meets the answer it waits for, and
    the task would go on for ever.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        pending = (await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS))[1]
