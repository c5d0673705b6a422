"""Snapshots of the flow state in the object store, so that a scheduler that starts anew reads little of the log."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator

import msgspec
import structlog

from penstock.domain.flow.snapshot import Restoring, dump
from penstock.domain.flow.state import FlowState
from penstock.jetstream.objects import PayloadDamaged, PayloadMissing, Payloads
from penstock.ports import Unavailable
from penstock_scheduler.admission import Admission, wait

logger = structlog.get_logger("penstock")

NAME = "flow-snapshot"
FORMAT = b"penstock-flow-3"
"""Raised when the snapshot or what the fold makes of the log changes: an older one is passed over then."""

FACTS_MIN = 50_000
"""Positions of the log between two snapshots, at least."""
SHARE = 10
"""A snapshot is taken only after so many times the time that the last one took: a tenth of the time at most."""
LOOK_SECONDS = 1.0


class Snapshots:
    """Saving and loading."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self._saved = 0
        self._not_before = 0.0

    async def load(self) -> FlowState:
        """The state of the last snapshot; an empty one where there is none that can be read."""
        try:
            state = await self._load()
        except (PayloadMissing, PayloadDamaged, Unavailable, msgspec.DecodeError, ValueError) as error:
            if not isinstance(error, PayloadMissing):
                logger.warning("flow_snapshot_unreadable", error=str(error))
            return FlowState()
        self._saved = state.position
        return state

    async def run(self, admission: Admission, stopping: asyncio.Event) -> None:
        """Save from time to time while this scheduler leads."""
        while not stopping.is_set():
            await wait(stopping, LOOK_SECONDS)
            if admission.leadership.is_leader and self._is_due(admission.state):
                await self._save_quietly(admission)

    async def save(self, admission: Admission) -> None:
        """Save now. The state stands still meanwhile; the rest of the process does not. Raises Unavailable."""
        began = time.monotonic()
        async with admission.standing_still() as state:
            await self._payloads.put(NAME, _frames(state))
            self._saved = state.position
        self._not_before = time.monotonic() + SHARE * (time.monotonic() - began)

    def _is_due(self, state: FlowState) -> bool:
        return state.position - self._saved >= FACTS_MIN and time.monotonic() >= self._not_before

    async def _save_quietly(self, admission: Admission) -> None:
        try:
            await self.save(admission)
        except Unavailable as error:
            logger.warning("flow_snapshot_postponed", error=str(error))

    async def _load(self) -> FlowState:
        frames = _unframed(self._payloads.chunks(NAME))
        if await anext(frames, b"") != FORMAT:
            raise ValueError("it is of another version")
        restoring = Restoring(await anext(frames))
        # A million objects that all stay: looking for garbage among them would take as long as making them.
        gc.disable()
        try:
            async for frame in frames:
                restoring.add(frame)
                await asyncio.sleep(0)
            state = restoring.finish()
        finally:
            gc.enable()
        gc.freeze()
        return state


async def _frames(state: FlowState) -> AsyncIterator[bytes]:
    yield _framed(FORMAT)
    for chunk in dump(state):
        yield _framed(chunk)
        await asyncio.sleep(0)


def _framed(chunk: bytes) -> bytes:
    return len(chunk).to_bytes(4, "big") + chunk


async def _unframed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The frames of a stream that was cut anywhere."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        while len(buffer) >= 4 and len(buffer) >= 4 + (size := int.from_bytes(buffer[:4], "big")):
            yield bytes(buffer[4 : 4 + size])
            del buffer[: 4 + size]
    if buffer:
        raise ValueError("its end is missing")
