"""Group commit: appends that wait together travel as one atomic batch, one sync to disk for all.

A batch is all or nothing, and its refusal does not name the item at fault: a refused one is sent again message by
message. A lone append never waits for company, since a batch has a fixed cost (about 10 ms on a plain disk) that pays
only for many.
"""

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from penstock.domain.limits import atomic_batch_messages_max
from penstock.jetstream.publisher import PubAck, Publisher, Unanswered, Written
from penstock.ports import Conflict, Unavailable
from penstock.wire import names as wire

BATCH_MIN = 32
"""From so many waiting messages on, a batch is cheaper than single appends (measured: decision 0002)."""

SINGLES_MAX = 32
"""Single appends under way at once; beyond it they wait, and so become a batch."""

SENDS_MAX = 4
RECONNECT_SECONDS = 0.5
"""Pause before the next try while the connection is down."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One fact on its way; `history` is the subject or filter whose last sequence must be `expected`, if named."""

    subject: str
    data: bytes
    history: str = ""
    expected: int = 0


ReadBack = Callable[[], Awaitable[int | None]]
"""Where the last message of an append stands, if it was stored after all."""


class _Unit:
    """One append: its encoded messages and whoever waits for it."""

    __slots__ = ("future", "messages", "read_back")

    def __init__(self, messages: Sequence[Message], read_back: ReadBack, future: asyncio.Future[int]) -> None:
        self.messages = messages
        self.read_back = read_back
        self.future = future

    def settle(self, sequence: int) -> None:
        if not self.future.done():
            self.future.set_result(sequence)

    def refuse(self, reason: Conflict | Unavailable) -> None:
        if not self.future.done():
            self.future.set_exception(reason)


class GroupCommit:
    """The queue of appends of one process, and the one task that writes them."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._queue: deque[_Unit] = deque()
        self._alone: deque[tuple[Sequence[Message], asyncio.Future[int]]] = deque()
        self._changed = asyncio.Event()
        self._singles = 0
        self._writer: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._process = secrets.token_hex(5)
        self._ids = itertools.count()
        self._unsettled = 0
        self._idle = asyncio.Event()

    def next_id(self) -> str:
        """An id that no other act of publishing has."""
        return f"{self._process}-{next(self._ids):x}"

    def add(self, messages: Sequence[Message], read_back: ReadBack) -> asyncio.Future[int]:
        """Queue messages that are stored together, or not at all.

        The future holds the sequence of the last, or raises Conflict when a history has moved on, or Unavailable.
        """
        future = self._new_future()
        self._queue.append(_Unit(messages, read_back, future))
        self._wake_writer()
        return future

    def add_alone(self, messages: Sequence[Message]) -> asyncio.Future[int]:
        """Queue messages as one atomic batch that nothing else joins.

        The future holds the sequence of the last, or raises Conflict when any was refused, or Unavailable. Nothing is
        sent twice: whoever does not know the outcome finds it in the log.
        """
        future = self._new_future()
        self._alone.append((messages, future))
        self._wake_writer()
        return future

    def _new_future(self) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._settled)
        self._unsettled += 1
        self._idle.clear()
        return future

    def _wake_writer(self) -> None:
        self._changed.set()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="group-commit")

    async def close(self) -> None:
        """Wait until everything queued is settled, then stop the writer."""
        if self._writer is None:
            return
        while self._unsettled:
            await self._idle.wait()
        self._writer.cancel()

    def _settled(self, future: asyncio.Future[int]) -> None:
        self._unsettled -= 1
        if not self._unsettled:
            self._idle.set()

    async def _write(self) -> None:
        while True:
            if self._alone:
                await self._write_alone(*self._alone.popleft())
                continue
            if not self._queue:
                self._changed.clear()
                await self._changed.wait()
                # Let everything that became ready in this turn of the loop queue up first.
                await asyncio.sleep(0)
                continue
            if len(self._queue) >= BATCH_MIN or len(self._queue[0].messages) > 1:
                await self._write_batch()
            elif self._singles < SINGLES_MAX:
                self._start_single(self._queue.popleft())
            else:
                self._changed.clear()
                await self._changed.wait()

    # Single appends.

    def _start_single(self, unit: _Unit) -> None:
        self._singles += 1
        task = asyncio.create_task(self._single(unit))
        self._tasks.add(task)
        task.add_done_callback(self._single_done)

    def _single_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._singles -= 1
        self._changed.set()

    async def _single(self, unit: _Unit) -> None:
        """Send one append until its outcome is known, and settle it."""
        try:
            unit.settle(await self._until_known(unit))
        except (Conflict, Unavailable) as refusal:
            unit.refuse(refusal)
        except Exception as error:
            unit.refuse(Unavailable(f"the append failed: {error!r}"))
            raise

    async def _until_known(self, unit: _Unit) -> int:
        """Send again, with the same id and expectation, until it is stored or refused, or the tries are used up."""
        trouble: Unavailable | None = None
        for _ in range(SENDS_MAX):
            try:
                return (await self._send(unit.messages)).seq
            except Conflict:
                # Perhaps refused because our own earlier try was stored and only its answer was lost.
                stored = await unit.read_back()
                if stored is None:
                    raise
                return stored
            except Unavailable as error:
                trouble = error
            if not isinstance(trouble, Unanswered):
                await asyncio.sleep(RECONNECT_SECONDS)
        assert trouble is not None
        raise trouble

    # Batches.

    async def _write_batch(self) -> None:
        units = self._take_batch()
        try:
            last = (await self._send([message for unit in units for message in unit.messages])).seq
        except (Conflict, Unavailable):
            for unit in units:
                while self._singles >= SINGLES_MAX:
                    self._changed.clear()
                    await self._changed.wait()
                self._start_single(unit)
            return
        for unit in reversed(units):
            unit.settle(last)
            last -= len(unit.messages)

    async def _write_alone(self, messages: Sequence[Message], future: asyncio.Future[int]) -> None:
        try:
            last = (await self._send(messages)).seq
        except (Conflict, Unavailable) as refusal:
            if not future.done():
                future.set_exception(refusal)
        else:
            if not future.done():
                future.set_result(last)

    def _take_batch(self) -> list[_Unit]:
        """Units up to the size of a batch, at most one per history: two in one batch would not see each other."""
        units: list[_Unit] = []
        postponed: list[_Unit] = []
        seen: set[str] = set()
        size = 0
        while self._queue and (not units or size + len(self._queue[0].messages) <= atomic_batch_messages_max):
            unit = self._queue.popleft()
            histories = {message.history for message in unit.messages if message.history}
            if seen & histories:
                postponed.append(unit)
                continue
            seen |= histories
            units.append(unit)
            size += len(unit.messages)
        self._queue.extendleft(reversed(postponed))
        return units

    async def _send(self, messages: Sequence[Message]) -> PubAck:
        """Put them on the wire, as one atomic batch if there is more than one, and await the answer."""
        if len(messages) == 1:
            message = messages[0]
            return await (await self._publisher.send_all([Written(message.subject, _expects(message), message.data)]))
        batch, written = self.next_id(), list[Written]()
        for position, message in enumerate(messages, 1):
            head = _expects(message) + _BATCHED % (batch, position)
            if position == len(messages):
                head += _COMMITS
            written.append(Written(message.subject, head, message.data))
        return await (await self._publisher.send_all(written))


_EXPECTS = f"{wire.EXPECTED_SEQUENCE}: %d\r\n{wire.EXPECTED_SUBJECT}: %s\r\n"
_BATCHED = f"{wire.BATCH_ID}: %s\r\n{wire.BATCH_SEQUENCE}: %d\r\n"
_COMMITS = f"{wire.BATCH_COMMIT}: 1\r\n"


def _expects(message: Message) -> str:
    return _EXPECTS % (message.expected, message.history) if message.history else ""
