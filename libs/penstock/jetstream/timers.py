"""Wake-ups kept by the server: set, cleared, listed for the repair sweep, and taken when they have fired.

A schedule is a message on the subject of its wait; when it is due the server puts one on the wake subject and removes
it. Never early, about 100 ms late. The stream holds no truth: what is lost here is set again from the log.
"""

from datetime import UTC, datetime
from typing import Any

from nats.aio.msg import Msg

from penstock.jetstream.api import ApiRefused, request
from penstock.jetstream.connect import Connection
from penstock.jetstream.intake import Delivery, Intake, shared_consumer
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import DirectReader
from penstock.ports import Unavailable
from penstock.wire import names as wire
from penstock.wire.names import Names

ACK_PENDING_MAX = 5_000
"""Wake-ups under way at once, over all schedulers; the server's own default is a silent 1,000."""
ORDER_MAX = 500


def instant(at: int) -> str:
    """Microseconds since the epoch as RFC 3339, without losing one to floating point."""
    whole, fraction = divmod(at, 1_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}Z"


class JetStreamTimers:
    """ports.Timers, and the two looks that the repair sweep needs."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names
        self._publisher = Publisher(connection)
        self._reader = DirectReader(connection)

    async def set(self, execution_id: str, wait: str, at: int) -> None:
        """Fire at `at` (µs since the epoch), at once if that is past; replaces an earlier one. Raises Unavailable."""
        headers = {
            wire.SCHEDULE: f"@at {instant(at)}",
            wire.SCHEDULE_TARGET: self._names.wake_subject(execution_id, wait),
        }
        await self._publisher.publish(self._names.timer_subject(execution_id, wait), b"", headers)

    async def clear(self, execution_id: str, wait: str) -> None:
        """Forget it; nothing happens if there is none. Raises Unavailable."""
        await self._purge({"filter": self._names.timer_subject(execution_id, wait)})

    async def pending(self, execution_id: str, wait: str) -> bool:
        """Whether the server still holds this wake-up unfired. Raises Unavailable."""
        subject = self._names.timer_subject(execution_id, wait)
        return await self._reader.last(self._names.timers, subject) is not None

    async def all_pending(self) -> frozenset[tuple[str, str]]:
        """(execution id, wait) of every wake-up not fired yet. Raises Unavailable."""
        found: dict[tuple[str, str], None] = {}
        while True:
            body = {"subjects_filter": self._names.timer_subject("*", "*"), "offset": len(found)}
            info = await self._ask(f"$JS.API.STREAM.INFO.{self._names.timers}", body)
            subjects = info["state"].get("subjects") or {}
            found.update((self._parse(subject), None) for subject in subjects)
            if not subjects or len(found) >= info.get("total", 0):
                return frozenset(found)

    async def purge_fired(self) -> None:
        """Remove fired wake-ups that are settled: those up to the acknowledgement floor. Raises Unavailable."""
        timers, consumer = self._names.timers, self._names.wake_consumer
        info = await self._ask(f"$JS.API.CONSUMER.INFO.{timers}.{consumer}")
        floor = int(info["ack_floor"]["stream_seq"])
        if floor:
            await self._purge({"filter": self._names.wake_filter(), "seq": floor + 1})

    def _parse(self, subject: str) -> tuple[str, str]:
        execution_id, wait = subject.split(".")[-2:]
        return execution_id, wait

    async def _purge(self, body: dict[str, object]) -> None:
        await self._ask(f"$JS.API.STREAM.PURGE.{self._names.timers}", body)

    async def _ask(self, subject: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        try:
            return await request(self._connection, subject, body)
        except ApiRefused as refusal:
            raise Unavailable(f"stream {self._names.timers}: {refusal}") from None


class WakeUp(Delivery):
    """One fired wake-up."""

    __slots__ = ("execution_id", "wait")

    def __init__(self, connection: Connection, execution_id: str, wait: str, reply: str) -> None:
        super().__init__(connection, reply)
        self.execution_id = execution_id
        self.wait = wait


class WakeUps:
    """The fired wake-ups of an environment, shared by all schedulers."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names
        self._intake = Intake(connection, names.timers, names.wake_consumer, self._ensure_consumer, ORDER_MAX)

    async def take(self, limit: int) -> list[WakeUp]:
        """Up to `limit`, waiting for the first. Empty only after `stop`."""
        return [self._wake_up(message) for message in await self._intake.take(limit)]

    async def stop(self) -> None:
        """Take no more; a running `take` returns. What was delivered and not taken comes again at once."""
        for message in await self._intake.stop():
            await self._wake_up(message).give_back()

    def _wake_up(self, message: Msg) -> WakeUp:
        parsed = self._names.parse_wake_subject(message.subject)
        assert parsed is not None, "the consumer is filtered to wake subjects"
        return WakeUp(self._connection, *parsed, message.reply)

    async def _ensure_consumer(self) -> None:
        wanted = shared_consumer(self._names.wake_consumer, ACK_PENDING_MAX, subjects=self._names.wake_filter())
        await self._connection.js.add_consumer(self._names.timers, wanted)
