"""Admission: follows the log into the flow state, and, while it leads, decides and appends what was decided.

Two schedulers run hot. The lease lets one decide at a time; the head of each batch expects the one before it, so that a
batch of one that decided on old facts is refused as a whole.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec
import structlog

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import RequestCancel
from penstock.domain.flow.admission import decide, opens_at, revert
from penstock.domain.flow.fold import apply, apply_system, ungated_runs, ungated_stops
from penstock.domain.flow.joins import Entry, followers
from penstock.domain.flow.lines import Item
from penstock.domain.flow.state import FlowState
from penstock.domain.limits import atomic_batch_messages_max
from penstock.domain.system import AdmissionDecided
from penstock.handle import handle
from penstock.jetstream.inbox import Hints
from penstock.jetstream.leader import Leadership
from penstock.jetstream.log import JetStreamLog
from penstock.ports import Append, Clock, Conflict, Dice, LogEntry, Unavailable
from penstock.wire.codec import decode_fact, decode_system_fact
from penstock.wire.names import FLOW_LANE, Names
from penstock_scheduler.leaders import Leaders

logger = structlog.get_logger("penstock")

BATCH_MAX = atomic_batch_messages_max - 1
IDLE_SECONDS = 1.0
RETRY_SECONDS = 0.2
LEASE_LOOK_SECONDS = 1.0
SLICE = 200
"""Entries taken at once, while requests in the same process wait."""

SYSTEM_KINDS = ("function_declared", "limit_changed", "paused", "resumed", "lane")
_TAG = b'{"kind":"'
_STARTED = _TAG + b'started"'
_ENQUEUED = _TAG + b'enqueued"'
_STOPS = tuple(
    _TAG + kind + b'"'
    for kind in (b"succeeded", b"retry_scheduled", b"attempt_lost", b"suspended", b"paused", b"compensating")
)
_WAITS = _TAG + b'wait_opened"'


class FlowReader:
    """Entries of the log into the flow state. Executions without admission cost it next to nothing."""

    def __init__(self, names: Names, state: FlowState) -> None:
        self._names = names
        self.state = state
        self._system = tuple(names.system_subject(kind, "") for kind in SYSTEM_KINDS)
        self._lane = names.lane_subject("")

    def take(self, batch: Iterable[LogEntry]) -> bool:
        """Entries in order; answers whether limits or pauses may have changed."""
        state, switched = self.state, False
        for sequence, subject, data in batch:
            parsed = self._names.parse_fact_subject(subject)
            if parsed is None:
                if subject.startswith(self._system):
                    apply_system(state, sequence, decode_system_fact(data))
                    switched = switched or not subject.startswith(self._lane)
            elif parsed[0] in state.items or not data.startswith(_TAG):
                self._gated(parsed[0], parsed[2], sequence, data)
            else:
                self._other(parsed[0], parsed[1], parsed[2], sequence, data)
            state.position = sequence
        return switched

    def _gated(self, execution_id: str, function: str, sequence: int, data: bytes) -> None:
        try:
            fact = decode_fact(data)
        except msgspec.MsgspecError:
            # It says nothing, and moves the sequence that the next append expects all the same.
            item = self.state.items.get(execution_id)
            if item is not None:
                item.sequence = sequence
            return
        apply(self.state, execution_id, function, sequence, fact)

    def _other(self, execution_id: str, kind: str, function: str, sequence: int, data: bytes) -> None:
        """A fact of an execution that is not gated, as far as is known yet."""
        if data.startswith(_ENQUEUED):
            if kind == "fact" and b'"gated":true' in data:
                self._gated(execution_id, function, sequence, data)
        elif data.startswith(_STARTED):
            ungated_runs(self.state, execution_id, function)
        elif kind == "end" or data.startswith(_STOPS) or (data.startswith(_WAITS) and _suspends(data)):
            ungated_stops(self.state, execution_id, function)


class _Opened(msgspec.Struct):
    """The part of a `wait_opened` that matters here."""

    suspends: bool = False


_decode_opened = msgspec.json.Decoder(_Opened).decode


def _suspends(data: bytes) -> bool:
    try:
        return _decode_opened(data).suspends
    except msgspec.DecodeError:
        return False


class Admission:
    """The loops of one scheduler."""

    def __init__(
        self,
        name: str,
        names: Names,
        log: JetStreamLog,
        reader: FlowReader,
        leadership: Leadership,
        hints: Hints,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self.name = name
        self.reader = reader
        self.leadership = leadership
        self._lane = names.lane_subject(FLOW_LANE)
        self._log = log
        self._hints = hints
        self._clock = clock
        self._dice = dice
        self._changed = asyncio.Event()
        self._folded = asyncio.Condition()
        self._still = asyncio.Lock()
        self._deciding = asyncio.Lock()
        self.switched = asyncio.Event()
        """Set when limits or pauses may have changed."""
        self._batch = BATCH_MAX
        self._leaders = Leaders()
        self._led = False
        self._now = 0
        self.decisions = 0
        """Facts in the batches of this scheduler: executions admitted, discarded, joined."""

    @property
    def state(self) -> FlowState:
        return self.reader.state

    async def take(self, batch: Sequence[LogEntry]) -> None:
        """Fold entries of the log, and let the loop look again."""
        async with self._still:
            for start in range(0, len(batch), SLICE):
                if start:
                    await asyncio.sleep(0)
                if self.reader.take(batch[start : start + SLICE]):
                    self.switched.set()
        self._changed.set()
        async with self._folded:
            self._folded.notify_all()

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[FlowState]:
        """The state between two decisions, unchanged while this is open."""
        async with self._deciding, self._still:
            yield self.state

    async def hold_lease(self, stopping: asyncio.Event) -> None:
        """Lead if nobody else does."""
        while not stopping.is_set():
            if await self.leadership.hold():
                self._changed.set()
            await wait(stopping, LEASE_LOOK_SECONDS)
        try:
            await self.leadership.give_up()
        except Unavailable:
            return

    async def run(self, stopping: asyncio.Event) -> None:
        """Decide whenever something has changed, until stopped."""
        while not stopping.is_set():
            self._changed.clear()
            try:
                async with self._deciding:
                    busy = await self._turn()
            except Unavailable as error:
                logger.warning("admission_postponed", error=str(error))
                await wait(stopping, RETRY_SECONDS)
                continue
            if not busy:
                await wait(self._changed, self._pause())

    async def _turn(self) -> bool:
        """One decision if we lead; False when there was nothing to do."""
        if not self.leadership.is_leader:
            self._led = False
            return False
        if not self._led:
            # Whatever was decided before us stands in the log.
            await self._catch_up()
            self._led = True
        async with self._still:
            # Never back: a window must not open because a clock was set.
            self._now = now = max(self._clock(), self._now, self.state.decided_at)
            decision = decide(self.state, now, self._batch)
        if decision.size:
            try:
                await self._append(decision.entries(), decision.at, decision.seen)
            except (Conflict, Unavailable) as refusal:
                revert(self.state, decision)
                # Another leads, or one of the executions has moved: the log knows. A smaller batch meets less of that.
                self._batch = max(1, self._batch // 4)
                if isinstance(refusal, Unavailable):
                    raise
                await self._catch_up()
                return True
            self._batch = min(BATCH_MAX, self._batch * 2)
        for item in decision.cancelled:
            await self._cancel(item)
        joined = await self._follow()
        return bool(decision.size or decision.cancelled or joined)

    async def _append(self, entries: Sequence[Entry], at: int, seen: int) -> None:
        """Store what was decided, and wait until the state knows it. Raises Conflict or Unavailable."""
        size = sum(len(entry.facts) for entry in entries)
        head = AdmissionDecided(at=at, seen=seen, count=size, leader=self.name)
        appends = [
            Append(execution_id=each.execution_id, function=each.function, facts=each.facts, expected=each.expected)
            for each in entries
        ]
        sequence = await self._log.append_fenced(self._lane, head, self.state.lane, appends)
        self.decisions += size
        await self._until(sequence + size)

    async def _follow(self) -> bool:
        """Let some of those that came after a singleton follow it; answers whether there were any."""
        leaders = self._leaders.next(self.state.singles.joining)
        if not leaders:
            return False
        async with self._still:
            entries = followers(self.state, leaders, self._now, BATCH_MAX)
            seen = self.state.position
        try:
            if entries:
                await self._append(entries, self._now, seen)
            self._leaders.stored()
        except Conflict:
            self._leaders.refused(leaders)
            await self._catch_up()
        return True

    async def _cancel(self, item: Item) -> None:
        """Ask a running execution to make way."""
        try:
            handled = await handle(
                self._log, item.id, RequestCancel(), self._clock, self._dice, function=item.line.function
            )
        except Rejected:
            return
        if handled.facts and handled.state.owner:
            await self._hints.cancel(handled.state.owner, item.id)
        await self._until(handled.state.sequence)

    async def _catch_up(self) -> None:
        await self._until(await self._log.last_sequence())

    async def _until(self, sequence: int) -> None:
        """Wait until the state reflects the log up to the sequence."""
        async with self._folded:
            await self._folded.wait_for(lambda: self.state.position >= sequence)

    def _pause(self) -> float:
        """Seconds until something may be due although no fact comes."""
        if not self.leadership.is_leader:
            return IDLE_SECONDS
        at = opens_at(self.state)
        if at is None:
            return IDLE_SECONDS
        return min(IDLE_SECONDS, max(0.001, (at - self._clock()) / 1_000_000))


async def wait(event: asyncio.Event, seconds: float) -> None:
    # Not wait_for: in Python 3.11 it may lose a cancellation that comes together with the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
