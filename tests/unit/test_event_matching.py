"""Events against waits in every order that chance can find: each wait gets the first event that fits, and only that."""

import asyncio
import random
from collections.abc import AsyncGenerator, Collection, Iterable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.jetstream.stored_events import StoredEvent
from penstock.ports import LogEntry
from penstock.wire.codec import encode_fact
from penstock.wire.names import Names
from penstock_scheduler import event_waits
from penstock_scheduler.agenda import Agenda
from penstock_scheduler.event_ender import Match
from penstock_scheduler.event_waits import EventMatching

NAMES = Names()
WORDS = ("a", "b", "c")


class Stream:
    """EVENTS in memory, which answers after a while and in pieces of any size."""

    def __init__(self, chance: random.Random) -> None:
        self.events: list[StoredEvent] = []
        self._chance = chance
        self._grown = asyncio.Event()

    def publish(self, name: str, n: int) -> None:
        sequence = len(self.events) + 1
        self.events.append(StoredEvent(sequence, name, {}, b'{"n":%d}' % n, sequence * 1_000_000))
        self._grown.set()

    async def last(self) -> int:
        await self._while()
        return len(self.events)

    async def read(self, name: str, after: int) -> tuple[list[StoredEvent], bool]:
        await self._while()
        found = [event for event in self.events[after:] if event.name == name]
        part = found[: self._chance.randint(1, 4)]
        # Long enough for others to see what is published meanwhile.
        await self._while(30)
        return part, len(part) == len(found)

    async def follow(self, names: Collection[str], after: int) -> AsyncGenerator[list[StoredEvent], None]:
        while True:
            await self._while()
            found = [event for event in self.events[after:] if event.name in names]
            if not found:
                self._grown.clear()
                await self._grown.wait()
                continue
            part = found[: self._chance.randint(1, 5)]
            after = part[-1].sequence
            yield part

    async def _while(self, most: int = 3) -> None:
        for _ in range(self._chance.randint(0, most)):
            await asyncio.sleep(0)


class World:
    """A log in memory, one copy of the scheduler at a time, and what ended which wait."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.stream = Stream(self.chance)
        self.log: list[LogEntry] = []
        self.waits: dict[str, tuple[str, int, int]] = {}
        self.ended: dict[str, int] = {}
        self.bookmark: tuple[int, int] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.begin()

    def begin(self) -> None:
        """A copy that knows nothing but log, stream and bookmark."""
        self.agenda = Agenda(NAMES)
        self.matching = EventMatching(self.agenda, self.stream, self, self, self, NAMES)  # type: ignore[arg-type]
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self.matching.run(asyncio.Event()))]

    async def kill(self) -> None:
        """Leave everything as it is."""
        tasks = [*self._tasks, *self.matching._looks]
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.1)

    def open(self, name: str, n: int, after: int) -> None:
        execution_id = f"{len(self.waits) + 1:032x}"
        self.waits[execution_id] = (name, n, after)
        wait = f.Wait(key="w", wait="event", name=name, match={"n": Raw(msgspec.json.encode(n))}, after=after)
        self._append(execution_id, f.WaitOpened(n=3, at=1, waits=[wait], suspends=True))

    def expected(self) -> dict[str, int]:
        """What a slow and obvious look says."""
        found = {}
        for execution_id, (name, n, after) in self.waits.items():
            fits = (
                event.sequence
                for event in self.stream.events
                if event.sequence > after and event.name == name and event.data == b'{"n":%d}' % n
            )
            first = next(fits, None)
            if first is not None:
                found[execution_id] = first
        return found

    # What the copy is given: the log, the bookmark, and who ends waits.

    async def last_sequence(self) -> int:
        return len(self.log)

    async def load_pair(self, _: str) -> tuple[int, int] | None:
        return self.bookmark

    async def store_pair(self, _: str, in_log: int, elsewhere: int) -> None:
        self.bookmark = in_log, elsewhere

    async def end_all(self, matches: Iterable[Match]) -> None:
        for match in matches:
            for _ in range(self.chance.randint(0, 3)):
                await asyncio.sleep(0)
            sequence = int(match.event.id.partition("-")[0])
            if match.wait.execution_id not in self.ended:
                # The log takes the first answer.
                self.ended[match.wait.execution_id] = sequence
                self._append(match.wait.execution_id, f.Woken(n=4, at=1, wait="w", outcome="event", wakes=True))

    def _append(self, execution_id: str, fact: f.AnyFact) -> None:
        subject = NAMES.fact_subject(execution_id, "f", "fact")
        self.log.append(LogEntry(len(self.log) + 1, subject, encode_fact(fact)))

    async def _read(self) -> None:
        """The copy follows the log, somewhat behind."""
        while True:
            await asyncio.sleep(0)
            if self.chance.random() < 0.5:
                at = self.agenda.position
                self.agenda.take(self.log[at : at + self.chance.randint(1, 3)])


async def _play(world: World, steps: int) -> None:
    chance = world.chance
    for _ in range(steps):
        for _ in range(chance.randint(0, 4)):
            await asyncio.sleep(0)
        what = chance.random()
        if what < 0.45:
            world.stream.publish(chance.choice(WORDS), chance.randint(0, 3))
        elif what < 0.8:
            end = len(world.stream.events)
            world.open(chance.choice(WORDS), chance.randint(0, 3), chance.randint(max(0, end - 5), end))
        elif what < 0.84:
            await world.matching.mark()
        elif what < 0.86:
            await world.kill()
            world.begin()
        else:
            for _ in range(chance.randint(1, 30)):
                await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(20))
async def test_each_wait_ends_with_the_first_event_that_fits(seed: int, monkeypatch: Any) -> None:
    """However waits, events, answers, bookmarks and deaths of the scheduler come together."""
    monkeypatch.setattr(event_waits, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(event_waits, "LOOK_SECONDS", 0.001)
    world = World(seed)
    await _play(world, 200)
    async with asyncio.timeout(20):
        while world.ended != world.expected():
            await asyncio.sleep(0.001)
    await world.kill()
