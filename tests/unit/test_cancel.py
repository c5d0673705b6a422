"""Stopping ends tasks for good."""

import asyncio

from penstock.service.cancel import cancel_all


async def _stubborn(began: asyncio.Event) -> None:
    """As a task does whose `wait_for` is answered at the moment of the cancel."""
    began.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


async def test_a_task_that_swallows_a_cancel_is_cancelled_again() -> None:
    """Else `penstock up` would wait for it for ever."""
    began = asyncio.Event()
    task = asyncio.create_task(_stubborn(began))
    await began.wait()
    async with asyncio.timeout(10):
        await cancel_all([task])
    assert task.cancelled()
