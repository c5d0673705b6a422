"""Snapshots as the object store holds them: the name of the format, then parts that are decoded one by one.

Whatever is not as it should be is passed over: the log has everything, and is only slower to read.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import msgspec
import structlog

from penstock.jetstream.objects import PayloadDamaged, PayloadMissing, Payloads
from penstock.ports import Unavailable
from penstock_scheduler.admission import wait

logger = structlog.get_logger("penstock")

FACTS_MIN = 50_000
"""Positions of the log between two snapshots, at least."""
STOP_FACTS_MIN = 5_000
"""The same for the last one, which is taken in an orderly end."""
SHARE = 10
"""A snapshot is taken only after so many times the time that the last one took: a tenth of the time at most."""
LOOK_SECONDS = 1.0
READS_MAX = 3


class Positioned(Protocol):
    """What is restored knows the position of the log that it reflects."""

    @property
    def position(self) -> int: ...


T = TypeVar("T", bound=Positioned)


class Frames:
    """One snapshot by name, and when it is time for the next. `format` is raised whenever its content changes."""

    def __init__(self, payloads: Payloads, name: str, format: bytes) -> None:  # noqa: A002 - it is the word for it
        self._payloads = payloads
        self._name = name
        self._format = format
        self._saved = 0
        self._not_before = 0.0

    async def keep(
        self,
        position: Callable[[], int],
        save: Callable[[], Awaitable[None]],
        leads: Callable[[], bool],
        stopping: asyncio.Event,
    ) -> None:
        """Save from time to time while this copy leads, and once more in an orderly end."""
        led = False
        while not stopping.is_set():
            await wait(stopping, LOOK_SECONDS)
            if stopping.is_set():
                # The lease is given up at the same time.
                if led and position() - self._saved >= STOP_FACTS_MIN:
                    await self._quietly(save)
                return
            led = leads()
            if led and position() - self._saved >= FACTS_MIN and time.monotonic() >= self._not_before:
                await self._quietly(save)

    async def _quietly(self, save: Callable[[], Awaitable[None]]) -> None:
        try:
            await save()
        except Unavailable as error:
            logger.warning("snapshot_postponed", snapshot=self._name, error=str(error))

    async def save(self, position: int, frames: Iterable[bytes], began: float) -> None:
        """Store the parts, whose making began then, at this position of the log. Raises Unavailable."""
        await self._payloads.put(self._name, (_framed(each) for each in (self._format, *frames)))
        self._saved = position
        self._not_before = time.monotonic() + SHARE * (time.monotonic() - began)

    async def load(self, restore: Callable[[AsyncIterator[bytes]], Awaitable[T]], end: int) -> T | None:
        """What `restore` makes of the parts; None where no snapshot of a log with this end can be read."""
        for _ in range(READS_MAX):
            try:
                with _without_collections():
                    found = await restore(self._frames())
            except PayloadMissing:
                return None
            except (PayloadDamaged, Unavailable, msgspec.MsgspecError, ValueError, StopAsyncIteration) as error:
                # It may have been replaced while it was read.
                logger.warning("snapshot_unreadable", snapshot=self._name, error=str(error))
                continue
            if found.position > end:
                # Somebody has put back an older log.
                logger.warning("snapshot_of_another_log", snapshot=self._name, position=found.position, end=end)
                return None
            self._saved = found.position
            return found
        return None

    async def _frames(self) -> AsyncIterator[bytes]:
        frames = _unframed(self._payloads.chunks(self._name))
        if await anext(frames, b"") != self._format:
            raise ValueError("it is of another version")
        async for frame in frames:
            yield frame
            await asyncio.sleep(0)


@contextmanager
def _without_collections() -> Iterator[None]:
    """A million objects that all stay: looking for garbage among them would take as long as making them."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()


def _framed(chunk: bytes) -> bytes:
    return len(chunk).to_bytes(4, "big") + chunk


async def _unframed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The frames of a stream that was cut anywhere."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        start = 0
        while len(buffer) >= start + 4 and len(buffer) >= start + 4 + (size := _size(buffer, start)):
            yield bytes(buffer[start + 4 : start + 4 + size])
            start += 4 + size
        del buffer[:start]
    if buffer:
        raise ValueError("its end is missing")


def _size(buffer: bytearray, start: int) -> int:
    return int.from_bytes(buffer[start : start + 4], "big")
