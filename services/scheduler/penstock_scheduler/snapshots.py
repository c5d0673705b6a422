"""Snapshots of the flow state in the object store, so that a scheduler that starts anew reads little of the log."""

import asyncio
import time
from collections.abc import AsyncIterator

from penstock.domain.flow.snapshot import Restoring, dump
from penstock.domain.flow.state import FlowState
from penstock.jetstream.objects import Payloads
from penstock_scheduler.admission import Admission
from penstock_scheduler.frames import Frames

NAME = "flow-snapshot"
FORMAT = b"penstock-flow-4"
"""Raised when the snapshot or what the fold makes of the log changes: an older one is passed over then."""


class Snapshots:
    """Saving and loading."""

    def __init__(self, payloads: Payloads) -> None:
        self._frames = Frames(payloads, NAME, FORMAT)

    async def load(self, end: int) -> FlowState:
        """The state of the last snapshot of a log with this end; an empty one where there is none that can be read."""
        return await self._frames.load(_restored, end) or FlowState()

    async def run(self, admission: Admission, stopping: asyncio.Event) -> None:
        """Save from time to time while this scheduler leads, and once more in an orderly end."""
        await self._frames.keep(
            lambda: admission.state.position,
            lambda: self.save(admission),
            lambda: admission.leadership.is_leader,
            stopping,
        )

    async def save(self, admission: Admission) -> None:
        """Save now. The state stands still while it is written down, and no longer. Raises Unavailable."""
        began, chunks = time.monotonic(), list[bytes]()
        async with admission.standing_still() as state:
            position = state.position
            for chunk in dump(state):
                chunks.append(chunk)
                await asyncio.sleep(0)
        await self._frames.save(position, chunks, began)


async def _restored(frames: AsyncIterator[bytes]) -> FlowState:
    restoring = Restoring(await anext(frames))
    async for frame in frames:
        restoring.add(frame)
    return restoring.finish()
