"""Facts of several histories stored together or not at all, each history with an expectation of its own.

What waits at the same time travels in one atomic batch, one sync to disk for all. A batch is all or nothing and its
refusal does not name the message at fault: a refused one is sent again group by group.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from penstock.domain.limits import atomic_batch_messages_max
from penstock.jetstream.publisher import Publisher, Unanswered
from penstock.ports import Conflict, Unavailable
from penstock.wire import names as wire

SENDS_MAX = 4
GROUPS_MAX = 8
"""Groups sent one by one at the same time."""


class Message(NamedTuple):
    """One fact on its way. `history` is the filter whose last sequence must be `expected`; None: no expectation."""

    subject: str
    data: bytes
    history: str | None = None
    expected: int = 0


class _Group:
    __slots__ = ("future", "messages", "read_back")

    def __init__(
        self, messages: Sequence[Message], read_back: Callable[[], Awaitable[int | None]], future: asyncio.Future[int]
    ) -> None:
        self.messages = messages
        self.read_back = read_back
        self.future = future


class Together:
    """The queue of such groups in one process."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._queue: deque[_Group] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._process = secrets.token_hex(6)
        self._count = 0

    def next_id(self) -> str:
        """An id that no other act of publishing has."""
        self._count += 1
        return f"{self._process}-{self._count:x}"

    async def append(self, messages: Sequence[Message], read_back: Callable[[], Awaitable[int | None]]) -> int:
        """Store them; answers with the sequence of the last. `read_back` tells where it stands if it was stored.

        Raises Conflict when a history has moved on, and Unavailable.
        """
        group = _Group(messages, read_back, asyncio.get_running_loop().create_future())
        self._queue.append(group)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="together")
        return await group.future

    async def _write(self) -> None:
        # Let everything that became ready in this turn of the loop queue up first.
        await asyncio.sleep(0)
        while self._queue:
            groups = self._take()
            if len(groups) > 1:
                try:
                    last = await self._send([message for group in groups for message in group.messages])
                except Conflict:
                    pass
                except Unavailable:
                    pass
                else:
                    for group in reversed(groups):
                        _settle(group, last)
                        last -= len(group.messages)
                    continue
            room = asyncio.Semaphore(GROUPS_MAX)
            await asyncio.gather(*(self._alone(group, room) for group in groups))

    def _take(self) -> list[_Group]:
        """Groups up to the size of a batch; two of one history would not see each other."""
        taken: list[_Group] = []
        left: list[_Group] = []
        seen: set[str | None] = set()
        size = 0
        while self._queue and (not taken or size + len(self._queue[0].messages) <= atomic_batch_messages_max):
            group = self._queue.popleft()
            histories = {message.history for message in group.messages} - {None}
            if seen & histories:
                left.append(group)
                continue
            seen |= histories
            taken.append(group)
            size += len(group.messages)
        self._queue.extendleft(reversed(left))
        return taken

    async def _alone(self, group: _Group, room: asyncio.Semaphore) -> None:
        """Send one group, with the same ids and expectations, until its outcome is known."""
        trouble: Unavailable = Unavailable("not sent")
        async with room:
            try:
                for _ in range(SENDS_MAX):
                    try:
                        return _settle(group, await self._send(group.messages))
                    except Conflict:
                        # Perhaps refused because our own earlier try was stored and only its answer was lost.
                        stored = await group.read_back()
                        if stored is None:
                            raise
                        return _settle(group, stored)
                    except Unanswered as error:
                        trouble = error
                raise trouble
            except (Conflict, Unavailable) as refusal:
                if not group.future.done():
                    group.future.set_exception(refusal)

    async def _send(self, messages: Sequence[Message]) -> int:
        batch = self.next_id()
        for position, message in enumerate(messages, 1):
            headers: dict[str, str] = {}
            if message.history is not None:
                headers[wire.EXPECTED_SEQUENCE] = str(message.expected)
                headers[wire.EXPECTED_SUBJECT] = message.history
            if len(messages) > 1:
                headers[wire.BATCH_ID] = batch
                headers[wire.BATCH_SEQUENCE] = str(position)
            if position < len(messages):
                await self._publisher.tell(message.subject, message.data, headers)
                continue
            if len(messages) > 1:
                headers[wire.BATCH_COMMIT] = "1"
            return (await (await self._publisher.send(message.subject, message.data, headers))).seq
        raise ValueError("nothing to store")


def _settle(group: _Group, sequence: int) -> None:
    if not group.future.done():
        group.future.set_result(sequence)
