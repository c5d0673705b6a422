"""What the scheduler keeps of times, agenda and calendar together: one reader of the log, and one snapshot of both."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Self, TypeVar

import msgspec

from penstock.domain.schedule.facts import SchedulesDeclared
from penstock.jetstream.objects import Payloads
from penstock.ports import LogEntry
from penstock.wire.names import Names
from penstock_scheduler.agenda import Agenda, Entry
from penstock_scheduler.calendar import Calendar
from penstock_scheduler.frames import Frames

NAME = "times-snapshot"
FORMAT = b"penstock-times-1"
"""Raised when the snapshot or what the two make of the log changes: an older one is passed over then."""

PART_ROWS = 5_000
SLICE = 200
"""Entries taken at once: requests in the same process wait for so many, and not for a whole batch."""


class Head(msgspec.Struct, array_like=True):
    """The first part: everything of which there is little."""

    position: int
    waiting: dict[str, str]
    """Execution -> schedule whose kept tick waits for its end."""
    ready: list[str]
    declared: list[SchedulesDeclared]


class Part(msgspec.Struct, array_like=True):
    """Some of what there may be much of."""

    entries: list[Entry] = []
    times: dict[str, int] = {}
    apps: dict[str, str] = {}


R = TypeVar("R")

_encoder = msgspec.msgpack.Encoder()
_head = msgspec.msgpack.Decoder(Head)
_part = msgspec.msgpack.Decoder(Part)


class Times:
    """Agenda and calendar at one position of the log."""

    def __init__(self, names: Names) -> None:
        self.agenda = Agenda(names)
        self.calendar = Calendar(names)
        self._still = asyncio.Lock()

    @property
    def position(self) -> int:
        return self.agenda.position

    async def take(self, batch: Sequence[LogEntry]) -> None:
        """Entries of the log, in order."""
        async with self._still:
            for start in range(0, len(batch), SLICE):
                if start:
                    await asyncio.sleep(0)
                entries = batch[start : start + SLICE]
                self.agenda.take(entries)
                self.calendar.take(entries)

    async def dump(self) -> tuple[int, list[bytes]]:
        """The position, and the snapshot in parts; the process goes on meanwhile, and only `take` waits."""
        frames: list[bytes] = []
        async with self._still:
            for frame in self._parts():
                frames.append(frame)
                await asyncio.sleep(0)
            return self.position, frames

    async def restore(self, frames: AsyncIterator[bytes]) -> Self:
        """Be what a snapshot says, from being empty."""
        head = _head.decode(await anext(frames))
        self.agenda.position = head.position
        self.calendar.waiting.update(head.waiting)
        self.calendar.ready.update(dict.fromkeys(head.ready))
        self.calendar.declared.update((each.app, each) for each in head.declared)
        async for frame in frames:
            part = _part.decode(frame)
            self.agenda.restore(part.entries)
            self.calendar.restore(part.times, part.apps)
        return self

    def _parts(self) -> Iterator[bytes]:
        calendar = self.calendar
        declared = list(calendar.declared.values())
        yield _encoder.encode(Head(self.position, calendar.waiting, list(calendar.ready), declared))
        yield from (_encoder.encode(Part(entries=each)) for each in _split(self.agenda.entries.values()))
        yield from (_encoder.encode(Part(times=dict(each))) for each in _split(calendar.times.items()))
        yield from (_encoder.encode(Part(apps=dict(each))) for each in _split(calendar.apps.items()))


def _split(rows: Iterable[R]) -> Iterator[list[R]]:
    rest = iter(rows)
    while part := list(islice(rest, PART_ROWS)):
        yield part


class TimesSnapshots:
    """Saving and loading."""

    def __init__(self, payloads: Payloads, names: Names) -> None:
        self._frames = Frames(payloads, NAME, FORMAT)
        self._names = names

    async def load(self, end: int) -> Times:
        """What the last snapshot of a log with this end says; nothing where there is none that can be read."""
        return await self._frames.load(lambda frames: Times(self._names).restore(frames), end) or Times(self._names)

    async def save(self, times: Times) -> None:
        """Save now. Raises Unavailable."""
        began = time.monotonic()
        position, frames = await times.dump()
        await self._frames.save(position, frames, began)

    async def run(self, times: Times, leads: Callable[[], bool], stopping: asyncio.Event) -> None:
        """Save from time to time where this scheduler leads, and once more in an orderly end."""
        await self._frames.keep(lambda: times.position, lambda: self.save(times), leads, stopping)
