"""Reads the log with the rules of the house and makes known what they have to say.

One copy does it at a time. A notice is stored before the place up to which the log was read: a crash in between makes
it known again, which the log refuses, since the same fact and rule have the same id.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol

import msgspec
import structlog

from penstock.domain.notify.conditions import Measured
from penstock.domain.notify.notice import Notice
from penstock.domain.notify.rules import Rule
from penstock.domain.notify.seen import Seen
from penstock.domain.notify.watch import Watch, WatchState, load_state
from penstock.handle import load
from penstock.jetstream.consumers import ConsumerState
from penstock.jetstream.notices import Bookmark, NoticeLog
from penstock.ports import Clock, Conflict, LogEntry, Unavailable
from penstock.wire.glimpse import glimpse
from penstock.wire.names import VIEW_READER, Names
from penstock_notifier.courier import Positions

logger = structlog.get_logger("penstock")

IDLE_SECONDS = 0.5
RETRY_SECONDS = 1.0
STORE_SECONDS = 2.0
MEASURE_SECONDS = 5.0
QUIET_LOOKS = 6
"""So many looks without news, and the log is taken for read, even if its last entries were removed."""
AHEAD_MICROSECONDS = 5_000_000
"""Clocks of other machines may be so far ahead of ours."""
STATE_BYTES_MAX = 900 * 1024
"""What fits into one value of the bucket; a larger state is not stored, and a restart reads more of the log."""

Subscribe = Callable[[int], AsyncIterator[list[LogEntry]]]


class Consumers(Protocol):
    """What the server knows of the consumers of functions."""

    async def state(self, function: str) -> ConsumerState | None: ...


class Desk:
    """The rules at work."""

    def __init__(
        self,
        rules: list[Rule],
        notices: NoticeLog,
        subscribe: Subscribe,
        bookmark: Bookmark,
        consumers: Consumers,
        positions: Positions,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._channels = {rule.name: rule.channels for rule in rules}
        self._notices = notices
        self._names: Names = notices.log.names
        self._subscribe = subscribe
        self._bookmark = bookmark
        self._consumers = consumers
        self._positions = positions
        self._clock = clock
        self._measured = Measured()
        self._without_pulls: frozenset[str] = frozenset()
        self._marks: deque[tuple[int, int]] = deque(maxlen=10_000)
        self._stored = -1

    async def run(self) -> None:
        """Until cancelled."""
        watch, end = await self._open()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(watch, end))
            if any(rule.no_runner is not None or rule.view_lag is not None for rule in self._rules):
                tasks.create_task(self._measure(watch))

    async def _open(self) -> tuple[Watch, int]:
        """The rules as they were left, and the end of the log, where they begin the first time."""
        while True:
            try:
                stored, end = await self._bookmark.load(), await self._notices.log.last_sequence()
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            state: WatchState | None = None
            try:
                state = load_state(stored) if stored is not None else None
            except msgspec.MsgspecError as error:
                logger.warning("notify_state_unreadable", error=str(error))
            watch = Watch(self._rules, state, end if state is None else 0)
            if state is None:
                # From this moment on nothing may be missed, whatever happens to this copy.
                await self._store(watch)
            return watch, end

    async def _read(self, watch: Watch, target: int) -> None:
        quiet = 0
        source = self._subscribe(min(watch.state.waiting_from, watch.state.position))
        step = asyncio.ensure_future(anext(source))
        stored_at = asyncio.get_running_loop().time()
        try:
            while True:
                await asyncio.wait({step}, timeout=IDLE_SECONDS)
                if step.done():
                    quiet = 0
                    await self._take(watch, step.result())
                    step = asyncio.ensure_future(anext(source))
                else:
                    quiet += 1
                if quiet and (watch.state.position >= target or quiet >= QUIET_LOOKS):
                    # All is read: what has not happened by now has not happened.
                    target = 0
                    await self._tell(watch, watch.advance(self._clock(), self._measured))
                elif not quiet:
                    await self._tell(watch, watch.advance(watch.state.now, self._measured))
                if asyncio.get_running_loop().time() - stored_at >= STORE_SECONDS:
                    stored_at = asyncio.get_running_loop().time()
                    await self._store(watch)
        finally:
            step.cancel()
            await asyncio.wait({step})
            await source.aclose()  # type: ignore[attr-defined]

    async def _take(self, watch: Watch, batch: list[LogEntry]) -> None:
        before, latest = watch.state.position, self._clock() + AHEAD_MICROSECONDS
        found: list[Notice] = []
        for sequence, subject, data in batch:
            seen = glimpse(self._names, sequence, subject, data)
            if seen is None:
                continue
            if sequence <= before:
                watch.recall(seen)
                continue
            if seen.at > latest:
                # A clock that is far ahead must not take the rules with it into the future.
                seen = msgspec.structs.replace(seen, at=latest)
            if watch.wants_metadata(seen):
                seen = msgspec.structs.replace(seen, metadata=await self._metadata(seen))
            found += watch.take(seen)
        watch.passed(batch[-1].sequence)
        await self._tell(watch, found)

    async def _metadata(self, seen: Seen) -> dict[str, str]:
        while True:
            try:
                state = await load(self._notices.log, seen.execution_id, seen.function)
            except Unavailable as problem:
                logger.warning("notify_waits_for_the_log", problem=str(problem))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return state.metadata if state is not None else {}

    async def _tell(self, watch: Watch, found: Iterable[Notice]) -> None:
        """Store the notices, each for all channels of its rule, and then the state in which they are told."""
        wanted = [(channel, notice) for notice in found for channel in self._channels[notice.rule]]
        if not wanted:
            return
        while wanted:
            at = self._clock()
            verdicts = await asyncio.gather(
                *(self._notices.due(channel, notice, at) for channel, notice in wanted), return_exceptions=True
            )
            left = []
            for item, verdict in zip(wanted, verdicts, strict=True):
                if isinstance(verdict, Unavailable):
                    left.append(item)
                elif isinstance(verdict, BaseException):
                    raise verdict
            wanted = left
            if wanted:
                await asyncio.sleep(RETRY_SECONDS)
        self._stored = -1
        await self._store(watch)

    async def _store(self, watch: Watch) -> None:
        if watch.state.position == self._stored:
            return
        data = watch.dump()
        if len(data) > STATE_BYTES_MAX:
            logger.warning("notify_state_too_large", size=len(data))
            return
        try:
            await self._bookmark.store(data)
            self._stored = watch.state.position
        except Unavailable:
            return
        except Conflict:
            # Another copy has taken over, or our own answer was lost: whoever leads goes on from what is stored.
            raise Unavailable("the state of the rules was stored by another copy") from None

    async def _measure(self, watch: Watch) -> None:
        while True:
            now = self._clock()
            try:
                pulls = await self._without_runner(watch.suspects(now))
                behind = await self._view_behind(watch.state.position, now)
            except Unavailable:
                pulls, behind = frozenset(), self._measured.view_behind_since
            # Between two pulls of a runner nobody waits at the server: only the second look counts.
            self._measured = Measured(pulls & self._without_pulls, behind)
            self._without_pulls = pulls
            await asyncio.sleep(MEASURE_SECONDS)

    async def _without_runner(self, functions: Iterable[str]) -> frozenset[str]:
        found = set()
        for function in functions:
            state = await self._consumers.state(function)
            if state is None or not (state.pulls or state.under_way or state.is_paused):
                found.add(function)
        return frozenset(found)

    async def _view_behind(self, position: int, now: int) -> int | None:
        """Since when the log has held what the view does not."""
        if not any(rule.view_lag is not None for rule in self._rules):
            return None
        if not self._marks or self._marks[-1][0] < position:
            self._marks.append((position, now))
        reached = await self._positions.load(VIEW_READER) or 0
        while self._marks and self._marks[0][0] <= reached:
            self._marks.popleft()
        return self._marks[0][1] if self._marks else None
