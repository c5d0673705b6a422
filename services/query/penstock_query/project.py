"""The projector: follows the log, folds each batch, and commits its rows together with the position."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from penstock.domain.execution.state import FINAL_STATES
from penstock.ports import LogEntry, Unavailable
from penstock.wire.names import Names
from penstock_query.fold import Batch, Changes, Known, decoding, folding
from penstock_query.lock import Lock
from penstock_query.notifications import delivery_rows
from penstock_query.progress import Progress
from penstock_query.schedules import schedule_rows
from penstock_query.slices import Sliced, in_turns
from penstock_query.store import Fenced, Position, Store, digest_of

logger = structlog.get_logger("penstock.query")

BATCH_MAX = 2000
CACHE_MAX = 20_000
GATHER_SECONDS = 0.05
"""A commit costs much the same for one fact as for a hundred, and an execution that begins and ends within a batch is
one row written instead of three: when nobody waits, let some gather."""
HURRY_SECONDS = 0.004
"""The same while somebody waits."""
STANDBY_SECONDS = 1.0
RETRY_SECONDS = 0.5
BUFFER_MAX = 20 * BATCH_MAX
LOOK_BACK_SECONDS = 5.0
WATCH_SECONDS = 5.0

Seen = Callable[[Batch, Mapping[str, Known], Changes], Sliced[None]]
Subscribe = Callable[[int], AsyncIterator[list[LogEntry]]]


class Ended(Protocol):
    """The end of the log."""

    async def last_sequence(self) -> int: ...


class Projection:
    """The fold of the log into one view, batch by batch; also used to rebuild."""

    def __init__(self, store: Store, names: Names, position: Position, seen: Seen | None = None) -> None:
        """`seen` is told of each batch once it is in the view."""
        self._seen = seen
        self._store = store
        self._names = names
        self.position = position
        self._cache: dict[str, Known] = {}

    async def apply(self, entries: list[LogEntry]) -> Changes | None:
        """Fold and commit. Entries that the view has already are skipped; None if nothing is left."""
        entries = [entry for entry in entries if entry.sequence > self.position.sequence]
        if not entries:
            return None
        missing = gaps_in(self.position.sequence, entries)
        batch = await in_turns(decoding(self._names, entries, self._cache))
        known = self._cache
        if batch.wanted:
            known = {**known, **await self._store.load(batch.wanted)}
        changes = await in_turns(folding(batch, known))
        if batch.schedules:
            schedules = await self._store.load_schedules({each.key for each in batch.schedules})
            found, ticks = schedule_rows(batch.schedules, schedules)
            changes = changes._replace(schedules=found, ticks=ticks)
        if batch.deliveries:
            deliveries = await self._store.load_deliveries({each.key for each in batch.deliveries})
            changes = changes._replace(notifications=delivery_rows(batch.deliveries, deliveries))
        try:
            await self._store.write(changes, entries[-1], self.position.epoch, missing)
        except BaseException:
            self._cache.clear()
            raise
        self.position = self.position._replace(sequence=entries[-1].sequence)
        if self._seen is not None:
            await in_turns(self._seen(batch, known, changes))
        self._remember(changes.touched)
        for row in changes.quarantine:
            logger.warning("fact_quarantined", sequence=row[0], subject=row[1], reason=row[2])
        return changes

    def _remember(self, touched: dict[str, Known]) -> None:
        cache = self._cache
        for execution_id, known in touched.items():
            if known.state.state in FINAL_STATES:
                cache.pop(execution_id, None)
            else:
                cache[execution_id] = known
        while len(cache) > CACHE_MAX:
            del cache[next(iter(cache))]


def gaps_in(position: int, entries: list[LogEntry]) -> list[tuple[int, int]]:
    """First and last position of each run of facts that should lie between and do not."""
    if entries[-1].sequence - position == len(entries):
        return []
    found = []
    expected = position + 1
    for entry in entries:
        if entry.sequence > expected:
            found.append((expected, entry.sequence - 1))
        expected = entry.sequence + 1
    return found


class Projector:
    """The loop around a projection: at most one per view, the others stand by."""

    def __init__(
        self,
        store: Store,
        names: Names,
        subscribe: Subscribe,
        log: Ended,
        lock: Lock,
        progress: Progress,
        seen: Seen | None = None,
    ) -> None:
        self._seen = seen
        self._store = store
        self._names = names
        self._subscribe = subscribe
        self._log = log
        self._lock = lock
        self._progress = progress
        self._gaps: list[tuple[int, int]] = []
        self._trouble: str | None = "The view is being opened."
        self.standing_by = asyncio.Event()
        """Set while another process projects."""

    @property
    def problem(self) -> str | None:
        """What is wrong, as one sentence; None when well."""
        if self._trouble is not None:
            return self._trouble
        if self._gaps:
            first, last = self._gaps[0]
            more = f" and {len(self._gaps) - 1} more" if len(self._gaps) > 1 else ""
            return (
                f"Facts {first} to {last} of the log are missing{more}: the view may be incomplete. "
                "Find out who removed them, then run `penstock rebuild --switch`."
            )
        return None

    async def run(self) -> None:
        """Project until cancelled."""
        while True:
            try:
                await self._turn()
            except Fenced:
                logger.warning("projector_fenced")
            except (SQLAlchemyError, sqlite3.Error, OSError, Unavailable) as error:
                self._trouble = f"The view cannot be written: {_sentence(error)}"
                logger.warning("projector_failed", error=_sentence(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def watch(self) -> None:
        """Notice a log that ends before the view: a follower of such a log would wait for ever without a word."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                end = await self._log.last_sequence()
            except Unavailable:
                continue
            if self._progress.position > end:
                self._trouble = _beyond(self._progress.position, end)

    async def _turn(self) -> None:
        if not await self._lock.take():
            self.standing_by.set()
            self._trouble = None
            if self._gaps != (gaps := await self._store.gaps()):
                self._gaps = gaps
            await asyncio.sleep(STANDBY_SECONDS)
            return
        try:
            position = await self._store.take_over()
            self.standing_by.clear()
            if await self._is_the_same_log(position):
                await self._follow(Projection(self._store, self._names, position, self._seen))
            else:
                await asyncio.sleep(STANDBY_SECONDS)
        finally:
            await self._lock.release()

    async def _is_the_same_log(self, position: Position) -> bool:
        """False, with the reason in `problem`, if the view does not belong to this log."""
        end = await self._log.last_sequence()
        before, self._trouble = self._trouble, None
        if position.stream != self._store.stream:
            self._trouble = f"The view belongs to the stream {position.stream}, not to {self._store.stream}."
        elif position.sequence > end:
            self._trouble = _beyond(position.sequence, end)
        elif position.sequence and not await self._last_entry_matches(position):
            self._trouble = (
                f"Entry {position.sequence} of the log is not the one that the view was made from: this is another "
                "log. Restore the right one, or run `penstock rebuild --switch` to follow this one."
            )
        if self._trouble not in (None, before):
            logger.error("view_and_log_differ", problem=self._trouble)
        return self._trouble is None

    async def _last_entry_matches(self, position: Position) -> bool:
        source = self._subscribe(position.sequence - 1)
        try:
            async with asyncio.timeout(LOOK_BACK_SECONDS):
                entry = (await anext(source))[0]
        except TimeoutError:
            # It was purged since, and nothing came after it: there is nothing to compare.
            return True
        finally:
            await source.aclose()  # type: ignore[attr-defined]
        return entry.sequence != position.sequence or digest_of(entry) == position.digest

    async def _follow(self, projection: Projection) -> None:
        progress = self._progress
        self._gaps = await self._store.gaps()
        progress.begin(projection.position.sequence)
        async with _Buffer(self._subscribe(projection.position.sequence)) as buffer:
            while True:
                entries = await buffer.take(progress.wanted)
                before = projection.position.sequence
                changes = await projection.apply(entries)
                if changes is None:
                    continue
                self._trouble = None
                if missing := gaps_in(before, entries):
                    logger.error("facts_missing", gaps=missing)
                    self._gaps.extend(missing)
                progress.advance(
                    projection.position.sequence,
                    [row[0] for row in changes.events],
                    [each for each, known in changes.touched.items() if known.state.state in FINAL_STATES],
                )


class _Buffer:
    """Reads ahead of the projector, so that what arrives during a commit makes one batch."""

    def __init__(self, source: AsyncIterator[list[LogEntry]]) -> None:
        self._source = source
        self._batches: deque[list[LogEntry]] = deque()
        self._held = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "_Buffer":
        self._task = asyncio.create_task(self._read(), name="view-read")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _read(self) -> None:
        try:
            async for entries in self._source:
                self._batches.append(entries)
                self._held += len(entries)
                self._changed.set()
                while self._held >= BUFFER_MAX:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._changed.set()
            await self._source.aclose()  # type: ignore[attr-defined]

    async def take(self, hurry: asyncio.Event) -> list[LogEntry]:
        """The next entries, at most BATCH_MAX and one batch more."""
        while not self._batches:
            assert self._task is not None
            if self._task.done():
                raise self._task.exception() or Unavailable("the log is no longer followed")
            self._changed.clear()
            await self._changed.wait()
        if self._held < BATCH_MAX // 4:
            await _or_timeout(hurry, GATHER_SECONDS)
            if hurry.is_set():
                await asyncio.sleep(HURRY_SECONDS)
        taken: list[LogEntry] = []
        while self._batches and len(taken) < BATCH_MAX:
            taken.extend(self._batches.popleft())
        self._held -= len(taken)
        self._room.set()
        return taken


async def _or_timeout(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _beyond(position: int, end: int) -> str:
    return (
        f"The view stands at {position}, but the log ends at {end}: it was deleted or replaced by an older copy. "
        "Restore the log, or run `penstock rebuild --switch` to follow this one."
    )


def _sentence(error: BaseException) -> str:
    """The database's own words, without the statement and its values."""
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
