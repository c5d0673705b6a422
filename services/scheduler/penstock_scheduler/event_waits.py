"""Holds events against open waits. Which event ends a wait follows from the log and EVENTS alone: the first one after
the wait's position that fits. So every copy of the scheduler does this, all come to the same, and the log takes the
first answer.

Events are followed only while somebody waits, and only those of names that somebody waits for. A wait that is new is
first held against the events that are stored already; it joins those that are followed when both have met.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Protocol

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.execution.event_waits import EventWait, EventWaits
from penstock.jetstream.stored_events import StoredEvent
from penstock.ports import ExecutionLog, Unavailable
from penstock.wire.names import Names
from penstock.wire.published import check_event_size, event_of
from penstock_scheduler.admission import wait as pause
from penstock_scheduler.agenda import Agenda
from penstock_scheduler.event_ender import EventEnder, Match

logger = structlog.get_logger("penstock")

LOOK_SECONDS = 1.0
RETRY_SECONDS = 0.5
IDLE_SECONDS = 30.0
"""Events are followed so long after the last wait is over: the next may come soon."""
SPARE_NAMES = 20
"""Names that nobody waits for any more and that are followed all the same, to begin anew less often."""
LOOKS_AT_ONCE = 20
MARK_SECONDS = 10.0
CANCEL_SECONDS = 0.1
BOOKMARK = "event-waits"


class Source(Protocol):
    """Stored events by name."""

    async def last(self) -> int: ...

    async def read(self, name: str, after: int) -> tuple[list[StoredEvent], bool]: ...

    def follow(self, names: Collection[str], after: int) -> AsyncGenerator[list[StoredEvent], None]: ...


class Bookmarks(Protocol):
    """Positions in the log and in EVENTS that belong together."""

    async def load_pair(self, reader: str) -> tuple[int, int] | None: ...

    async def store_pair(self, reader: str, in_log: int, elsewhere: int) -> None: ...


Place = tuple[str, str]
"""Execution and key of a wait."""


class EventMatching:
    """The loop of one scheduler copy."""

    def __init__(
        self, agenda: Agenda, source: Source, ender: EventEnder, bookmarks: Bookmarks, log: ExecutionLog, names: Names
    ) -> None:
        self._agenda = agenda
        self._source = source
        self._ender = ender
        self._bookmarks = bookmarks
        self._log = log
        self._stream = names.events
        self._changed = agenda.has_fresh_waits
        self._joined: dict[Place, int] = {}
        """Waits that only new events can end -> the position up to which they were held against events."""
        self._followed: dict[str, int] = {}
        """Name -> position up to which its followed events were held against the waits that have joined."""
        self._position = 0
        """The same for all followed names together."""
        self._steps: AsyncGenerator[list[StoredEvent], None] | None = None
        self._step: asyncio.Task[list[StoredEvent]] | None = None
        self._looks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._failure: BaseException | None = None
        self._is_taking = False
        self._idle_since: float | None = None
        self._known = (0, 0)
        """The bookmark: waits opened up to there in the log were held against events up to there."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Until stopped. To be begun when the agenda has read the log."""
        await self._load_bookmark(stopping)
        marking = asyncio.create_task(self._keep_bookmark(stopping))
        try:
            while not stopping.is_set():
                try:
                    await self._turn(stopping)
                except Unavailable as error:
                    logger.warning("event_waits_postponed", error=str(error))
                    await pause(stopping, RETRY_SECONDS)
        finally:
            for task in (marking, *self._looks):
                task.cancel()
            await self._close()

    async def _turn(self, stopping: asyncio.Event) -> None:
        """Begin what has to begin, then wait for events or for a change."""
        self._changed.clear()
        if self._failure is not None:
            # Its waits would never be looked at again: let the process begin anew.
            raise self._failure
        names = self._agenda.events.names
        if not names:
            await self._rest()
        elif not self._is_following(names):
            await self._follow(names)
        self._look_at_new()
        if self._steps is None:
            await pause(self._changed, LOOK_SECONDS)
            return
        if self._step is None:
            self._step = asyncio.ensure_future(anext(self._steps))
        await _first(self._step, self._changed, stopping)
        if self._step.done():
            step, self._step = self._step, None
            await self._take(step.result())

    # Following.

    def _is_following(self, names: frozenset[str]) -> bool:
        self._idle_since = None
        if self._steps is None or not names <= self._followed.keys():
            return False
        return len(self._followed) <= 2 * len(names) + SPARE_NAMES

    async def _follow(self, names: frozenset[str]) -> None:
        """Follow the events of these names. Raises Unavailable."""
        position = self._position if self._steps is not None else await self._source.last()
        await self._close()
        self._position = position
        self._followed = {name: self._followed.get(name, position) for name in names}
        self._steps = self._source.follow(names, position)

    async def _rest(self) -> None:
        """Nobody waits: after a while nothing is followed."""
        now = asyncio.get_running_loop().time()
        self._idle_since = self._idle_since or now
        if self._steps is not None and now - self._idle_since > IDLE_SECONDS:
            await self._close()
            self._followed = {}

    async def _close(self) -> None:
        steps, step = self._steps, self._step
        self._steps = self._step = None
        while step is not None and not step.done():
            # Python 3.11 loses a cancellation that comes together with an answer of the server.
            step.cancel()
            await asyncio.wait({step}, timeout=CANCEL_SECONDS)
        if steps is not None:
            await steps.aclose()

    async def _take(self, events: Sequence[StoredEvent]) -> None:
        """Hold followed events against the waits that have joined."""
        self._is_taking = True
        matches: list[Match] = []
        for stored in events:
            for match in _matches(self._agenda.events, stored, self._stream):
                place = match.wait.execution_id, match.wait.key
                if self._joined.get(place, stored.sequence) < stored.sequence:
                    del self._joined[place]
                    matches.append(match)
            self._position = stored.sequence
            if stored.name in self._followed:
                self._followed[stored.name] = stored.sequence
        await self._ender.end_all(matches)
        self._is_taking = False

    # Looking at what is stored.

    def _look_at_new(self) -> None:
        """Begin to hold new waits against stored events, all of one name together."""
        fresh: dict[str, list[EventWait]] = {}
        for wait in self._agenda.take_fresh_waits():
            fresh.setdefault(wait.name, []).append(wait)
        for name, waits in fresh.items():
            look = asyncio.create_task(self._look(name, waits))
            self._looks.add(look)
            look.add_done_callback(self._looked)
        if len(self._joined) > 2 * len(self._agenda.events) + 1000:
            self._joined = {place: at for place, at in self._joined.items() if place in self._agenda.events}

    def _looked(self, look: asyncio.Task[None]) -> None:
        self._looks.discard(look)
        if not look.cancelled():
            self._failure = look.exception() or self._failure
        self._changed.set()

    async def _look(self, name: str, waits: Sequence[EventWait]) -> None:
        """Hold these waits against stored events until those that are followed take over."""
        left = EventWaits()
        for wait in waits:
            left.add(wait._replace(after=self._start_of(wait)))
        position = min(wait.after for wait in left.of(name))
        while left:
            before = self._position
            for wait in left.of(name):
                if (wait.execution_id, wait.key) not in self._agenda.events:
                    left.remove(wait.execution_id, wait.key)
            try:
                async with self._room:
                    events, is_all = await self._source.read(name, position)
            except Unavailable as error:
                logger.warning("event_waits_postponed", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            matches: list[Match] = []
            for stored in events:
                for match in _matches(left, stored, self._stream):
                    left.remove(match.wait.execution_id, match.wait.key)
                    matches.append(match)
                position = stored.sequence
            if is_all:
                # What was followed before this was asked was stored by then.
                position = max(position, before)
            if is_all and self._followed.get(name, position + 1) <= position:
                self._joined.update(((wait.execution_id, wait.key), position) for wait in left.of(name))
                left = EventWaits()
            await self._ender.end_all(matches)
            if is_all and left:
                await asyncio.sleep(0.01)

    def _start_of(self, wait: EventWait) -> int:
        """The position up to which the wait needs no look: where it begins, or where we were before a restart."""
        in_log, in_events = self._known
        return max(wait.after, in_events) if wait.sequence <= in_log else wait.after

    # The bookmark.

    async def _load_bookmark(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                known = await self._bookmarks.load_pair(BOOKMARK) or (0, 0)
                if known[0] <= await self._log.last_sequence() and known[1] <= await self._source.last():
                    # Else it is of other streams than these.
                    self._known = known
            except Unavailable as error:
                logger.warning("event_waits_postponed", error=str(error))
                await pause(stopping, RETRY_SECONDS)
            else:
                return

    async def _keep_bookmark(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await pause(stopping, MARK_SECONDS)
            try:
                await self.mark()
            except Unavailable:
                continue

    async def mark(self) -> None:
        """Note how far everything is done, if nothing is under way. Raises Unavailable."""
        in_log, in_events = self._agenda.position, self._position
        is_done = not (self._looks or self._agenda.fresh_waits or self._is_taking) and self._steps is not None
        if is_done and (in_log, in_events) != self._known:
            await self._bookmarks.store_pair(BOOKMARK, in_log, in_events)
            self._known = in_log, in_events


def _matches(waits: EventWaits, stored: StoredEvent, stream: str) -> list[Match]:
    """The waits that the message ends; none for one that is no event, as ingest tells in the log."""
    if stored.name not in waits.names:
        return []
    try:
        check_event_size(stored.headers, stored.data)
        event, _ = event_of(stored.name, stored, stream)
    except Rejected:
        return []
    return [Match(wait, event) for wait in waits.matching(stored.name, stored.sequence, event.data)]


async def _first(step: asyncio.Task[list[StoredEvent]], *events: asyncio.Event) -> None:
    """Wait for the step or one of the events, but not for long."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait({step, *waits}, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
