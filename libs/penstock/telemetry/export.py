"""Spans to a collector as they are made, in a thread of their own.

Import this module only when `switch.is_on()`. A batch that the collector did not take is offered again with a growing
pause; nothing more is read from the log meanwhile, so that memory stays bounded and the log keeps what has not been
sent. Spans that it refuses while it takes others are left out: they must not hold up the rest for ever.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from penstock.telemetry.encode import EncodedSpan
from penstock.telemetry.sender import SpanSender, Verdict, well_formed

logger = structlog.get_logger("penstock")

BATCH_SPANS_MAX = 2048
SPANS_QUEUED_MAX = 8 * BATCH_SPANS_MAX
LINGER_SECONDS = 0.25
"""A batch that is not full waits so long for more: a request for every fact would cost more than the spans."""
PAUSE_SECONDS_FIRST = 0.25
PAUSE_SECONDS_MAX = 15.0
STOP_SECONDS = 1.5


class SpanExport:
    """Sends batches in order. `send` returns once a batch has its place; `done` tells how far the collector has got."""

    def __init__(self, environment: str) -> None:
        self._sender = SpanSender(environment)
        self._queue: queue.Queue[tuple[Sequence[EncodedSpan], int] | None] = queue.Queue()
        self._queued = 0
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self.done = 0
        """Position in the log up to which everything was taken by the collector."""
        self.problem: str | None = None
        # A daemon: a collector that answers nobody must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    async def send(self, spans: Sequence[EncodedSpan], position: int) -> None:
        """Queue spans; once they are taken, all spans up to `position` are. Waits while too many are queued."""
        while self._queued >= SPANS_QUEUED_MAX:
            self._room.clear()
            await self._room.wait()
        self._queued += len(spans)
        self._queue.put((spans, position))

    async def close(self) -> None:
        """Send what is queued if that is quick, and stop within STOP_SECONDS."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, STOP_SECONDS / 2)
        self._stopping.set()
        self._sender.close()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS / 2)

    def _run(self) -> None:
        while not self._stopping.is_set():
            spans, position, last = self._gather()
            for start in range(0, len(spans), BATCH_SPANS_MAX):
                batch = spans[start : start + BATCH_SPANS_MAX]
                if not self._offer(batch):
                    return
            self.done = max(self.done, position)
            self._tell(self._taken, len(spans))
            if last:
                return

    def _gather(self) -> tuple[list[EncodedSpan], int, bool]:
        """What is queued: spans for a batch or somewhat more, the position after them, and whether that was all."""
        spans: list[EncodedSpan] = []
        position, deadline = 0, None
        while len(spans) < BATCH_SPANS_MAX:
            try:
                wait = None if deadline is None else max(0.0, deadline - time.monotonic())
                item = self._queue.get(timeout=wait)
            except queue.Empty:
                break
            if item is None:
                return spans, position, True
            spans += item[0]
            position = item[1]
            deadline = deadline or time.monotonic() + LINGER_SECONDS
        return spans, position, False

    def _taken(self, count: int) -> None:
        self._queued -= count
        self._room.set()

    def _offer(self, batch: Sequence[EncodedSpan]) -> bool:
        """Until the collector has them; False when the process stops first."""
        pause = PAUSE_SECONDS_FIRST
        while not self._stopping.is_set():
            verdict = self._sender.send(batch)
            if verdict is Verdict.REFUSED:
                kept = well_formed(self._sender.send, batch)
                if kept is not None:
                    logger.warning("spans_left_out", count=len(batch) - kept, reason=self._sender.problem)
                    verdict = Verdict.TAKEN
            if verdict is Verdict.TAKEN:
                if self.problem is not None:
                    self.problem = None
                    logger.warning("spans_resumed")
                return True
            if self.problem is None and not self._stopping.is_set():
                self.problem = "the collector does not take spans; they are kept in the log and sent later"
                logger.warning("spans_refused", retry_seconds=pause, reason=self._sender.problem)
            self._stopping.wait(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
        return False

    def _tell(self, call: Callable[[int], None], count: int) -> None:
        try:
            self._loop.call_soon_threadsafe(call, count)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more
