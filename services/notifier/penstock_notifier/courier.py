"""Carries the notices of one channel, one after the other; those that failed wait for their time and block no others.

What is open is known from facts alone: they are followed from the oldest open one on. A notice is read again right
before it is sent, so that what somebody else has sent meanwhile is not sent again; a crash between the sending and the
fact about it repeats this one.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import Protocol

import structlog

from penstock.domain.notify.delivery import Delivery, Refusal, failed
from penstock.domain.notify.notice import cut
from penstock.domain.system import NotificationDue, NotificationFailed, NotificationReplayed, NotificationSent
from penstock.jetstream.notices import NoticeLog
from penstock.ports import Clock, Conflict, Dice, LogEntry, Unavailable
from penstock.service.concern import concerning, without_concern
from penstock.wire.codec import decode_system_fact
from penstock.wire.names import Names
from penstock_notifier.compose import Composer
from penstock_notifier.message import Refused, Sender, Sent

logger = structlog.get_logger("penstock")

OPEN_MAX = 10_000
"""So many open notices of a channel are kept in memory; the rest stays in the log until there is room."""
RETRY_SECONDS = 1.0
DETAIL_CHARS_MAX = 500
"""So much of what a receiver said is kept."""
LOOK_SECONDS = 0.5
"""The clock may be moved while we wait for a time: look at it again so often."""
STORE_SECONDS = 2.0


class Positions(Protocol):
    """Where the place to go on from is kept."""

    async def load(self, reader: str) -> int | None: ...

    async def store(self, reader: str, position: int) -> None: ...


class Courier:
    """One channel."""

    def __init__(
        self,
        channel: str,
        sender: Sender,
        notices: NoticeLog,
        names: Names,
        composer: Composer,
        positions: Positions,
        clock: Clock,
        dice: Dice,
        may_send: Callable[[], bool],
    ) -> None:
        self._channel = channel
        self._sender = sender
        self._notices = notices
        self._names = names
        self._composer = composer
        self._positions = positions
        self._clock = clock
        self._dice = dice
        self._may_send = may_send
        self._open: dict[str, tuple[int, int]] = {}
        """Notification -> (when to try it, where in the log it became due)."""
        self._times: list[tuple[int, int, str]] = []
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._position = 0
        self._stored = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def drain(self) -> None:
        """Begin no further sending, and wait for the one under way."""
        self._draining = True
        await self._idle.wait()

    async def run(self) -> None:
        """Until cancelled."""
        reader = f"notify-{self._channel}"
        while True:
            try:
                self._position = self._stored = await self._positions.load(reader) or 0
                break
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._work())
            tasks.create_task(self._keep_position(reader))

    async def _follow(self) -> None:
        async for batch in self._notices.follow(self._channel, self._position):
            for entry in batch:
                while len(self._open) >= OPEN_MAX:
                    self._room.clear()
                    await self._room.wait()
                self._take(entry)
                self._position = entry.sequence

    def _take(self, entry: LogEntry) -> None:
        parsed, fact = self._names.parse_delivery_subject(entry.subject), decode_system_fact(entry.data)
        if parsed is None:
            return
        notification = parsed[1]
        match fact:
            case NotificationDue() | NotificationReplayed():
                self._put(notification, fact.at, entry.sequence)
            case NotificationFailed(next_at=int() as next_at) if notification in self._open:
                self._put(notification, next_at, self._open[notification][1])
            case NotificationFailed() | NotificationSent():
                self._forget(notification)

    def _put(self, notification: str, when: int, due_sequence: int) -> None:
        self._open[notification] = (when, due_sequence)
        heapq.heappush(self._times, (when, due_sequence, notification))
        self._changed.set()

    def _forget(self, notification: str) -> None:
        if self._open.pop(notification, None) is not None:
            self._room.set()

    async def _work(self) -> None:
        while True:
            notification = await self._next()
            while not self._may_send():
                # Another copy may be at it.
                await asyncio.sleep(RETRY_SECONDS)
            if self._draining:
                return
            self._idle.clear()
            try:
                await self._deliver(notification)
            except Unavailable as problem:
                logger.warning("notification_waits_for_the_log", channel=self._channel, problem=str(problem))
                self._again(notification, int(RETRY_SECONDS * 1_000_000))
            except Conflict:
                self._again(notification, 0)
            finally:
                without_concern()
                self._idle.set()

    async def _next(self) -> str:
        """The one whose time has come, waiting for it."""
        while True:
            self._changed.clear()
            while self._times and self._open.get(self._times[0][2], (None,))[0] != self._times[0][0]:
                heapq.heappop(self._times)
            pause = (self._times[0][0] - self._clock()) / 1_000_000 if self._times else None
            if pause is not None and pause <= 0:
                return heapq.heappop(self._times)[2]
            try:
                async with asyncio.timeout(None if pause is None else min(pause, LOOK_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _again(self, notification: str, pause: int) -> None:
        if notification in self._open:
            self._put(notification, self._clock() + pause, self._open[notification][1])

    async def _deliver(self, notification: str) -> None:
        delivery = await self._notices.read(self._channel, notification)
        if delivery is None or delivery.next_at is None:
            self._forget(notification)
            return
        if delivery.next_at > self._clock():
            self._put(notification, delivery.next_at, delivery.due_sequence)
            return
        concern = concerning(delivery.notice.execution_id, delivery.notice.function)
        opener = delivery.notice.incident
        earlier = await self._notices.read(self._channel, opener) if opener not in ("", notification) else None
        message = await self._composer.message(delivery, earlier)
        concern.trace_id = message.trace_id
        reason = await self._notices.disabled(self._channel)
        if reason is not None:
            await self._tell(delivery, Refusal(f"The channel is disabled: {reason}", gone=True))
            return
        try:
            sent = await self._sender.send(message)
        except Refused as refused:
            if refused.refusal.gone:
                await self._notices.disable(self._channel, refused.refusal.detail, self._clock())
            await self._tell(delivery, refused.refusal)
            return
        except Exception as error:
            # A fault of ours in one sender must not stop the others, and is seen in the delivery log.
            logger.exception("notification_not_sent", channel=self._channel, notification=notification)
            await self._tell(delivery, Refusal(f"{type(error).__name__} in the sender; see the log of the notifier."))
            return
        await self._sent(delivery, sent)

    async def _sent(self, delivery: Delivery, sent: Sent) -> None:
        fact = NotificationSent(at=self._clock(), detail=sent.detail, receipt=sent.receipt)
        await self._notices.tell(delivery, fact)
        logger.info("notification_sent", channel=self._channel, notification=delivery.notice.id, detail=sent.detail)
        self._forget(delivery.notice.id)

    async def _tell(self, delivery: Delivery, refusal: Refusal) -> None:
        refusal = refusal._replace(detail=cut(refusal.detail, DETAIL_CHARS_MAX))
        fact = failed(delivery, refusal, self._clock(), self._dice())
        after = await self._notices.tell(delivery, fact)
        logger.warning(
            "notification_refused", channel=self._channel, notification=delivery.notice.id, reason=refusal.detail,
            dead=not after.is_open,
        )  # fmt: skip
        if after.next_at is None:
            self._forget(delivery.notice.id)
        else:
            self._put(delivery.notice.id, after.next_at, delivery.due_sequence)

    async def _keep_position(self, reader: str) -> None:
        """Where the next copy has to begin: before the oldest that is open."""
        while True:
            await asyncio.sleep(STORE_SECONDS)
            oldest = min((sequence for _, sequence in self._open.values()), default=self._position + 1)
            position = min(self._position, oldest - 1)
            if position > self._stored:
                try:
                    await self._positions.store(reader, position)
                    self._stored = position
                except Unavailable:
                    continue
