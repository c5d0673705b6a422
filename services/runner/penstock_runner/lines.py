"""Lines of user code on their way to the LOGS stream: bounded per attempt, sent in batches, waited for by nobody."""

import asyncio
from collections.abc import Iterable

import msgspec
import structlog

from penstock.domain.limits import log_line_chars_max, log_lines_per_attempt_max
from penstock.jetstream.publisher import Publisher
from penstock.ports import Conflict, Unavailable
from penstock.wire.names import Names
from penstock_runner.workers.messages import Line

logger = structlog.get_logger("penstock")

FLUSH_SECONDS = 0.1
BATCH_CHARS_MAX = 256 * 1024
BACKLOG_CHARS_MAX = 32 * 1024 * 1024
"""Lines waiting to be stored; beyond it they are dropped, and counted, rather than filling the runner's memory."""


class _Record(msgspec.Struct):
    at: int
    stream: str
    level: str
    text: str


class _Batch(msgspec.Struct):
    """One message of LOGS: its subject names execution and attempt, and who reads the stream finds the trace too."""

    trace_id: str
    lines: list[_Record]


class LineShipper:
    """The lines of all attempts of this runner."""

    def __init__(self, publisher: Publisher, names: Names) -> None:
        self._publisher = publisher
        self._names = names
        self._waiting: dict[tuple[str, str], list[_Record]] = {}
        self._chars = 0
        self._dropped = 0
        self._changed = asyncio.Event()

    def add(self, execution_id: str, attempt: int, trace_id: str, lines: Iterable[Line]) -> None:
        """Take lines of one attempt, to be sent soon."""
        batch = self._waiting.setdefault((self._names.log_subject(execution_id, attempt), trace_id), [])
        for line in lines:
            if self._chars > BACKLOG_CHARS_MAX:
                self._dropped += 1
                continue
            self._chars += len(line.text) + 64
            batch.append(_Record(line.at, line.stream, line.level, line.text))
        self._changed.set()

    async def run(self) -> None:
        """Send what comes, until cancelled; `flush` afterwards sends the rest."""
        while True:
            await self._changed.wait()
            # Gathering for a moment makes one message of many lines.
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Send all that waits."""
        self._changed.clear()
        waiting, self._waiting, self._chars = self._waiting, {}, 0
        if self._dropped:
            logger.warning("log_lines_dropped", lines=self._dropped)
            self._dropped = 0
        for (subject, trace_id), lines in waiting.items():
            for batch in _cut(lines):
                try:
                    await self._publisher.publish(subject, msgspec.json.encode(_Batch(trace_id, batch)))
                except (Unavailable, Conflict) as error:
                    # Lines are useful, not the truth: an attempt never fails for want of them.
                    logger.warning(
                        "log_lines_lost", lines=len(batch), subject=subject, trace_id=trace_id, error=str(error)
                    )


def _cut(lines: list[_Record]) -> Iterable[list[_Record]]:
    batch: list[_Record] = []
    chars = 0
    for line in lines:
        # A character may take four bytes, or six as a JSON escape; the server takes 1 MiB.
        if batch and chars + len(line.text) > BATCH_CHARS_MAX // 2:
            yield batch
            batch, chars = [], 0
        batch.append(line)
        chars += len(line.text) + 64
    if batch:
        yield batch


class Capture:
    """The lines of one attempt, whichever way they come, cut at the limit with a last line that says so."""

    __slots__ = ("_attempt", "_count", "_execution_id", "_partial", "_shipper", "_trace_id")

    def __init__(self, shipper: LineShipper, execution_id: str, attempt: int, trace_id: str) -> None:
        self._shipper = shipper
        self._execution_id = execution_id
        self._attempt = attempt
        self._trace_id = trace_id
        self._count = 0
        self._partial: dict[str, bytes] = {}

    def add(self, lines: list[Line]) -> None:
        """Complete lines."""
        room = log_lines_per_attempt_max - self._count
        if room < 0:
            return
        self._count += len(lines)
        kept = lines[:room]
        if self._count > log_lines_per_attempt_max:
            self._count = log_lines_per_attempt_max + 1
            text = f"Further lines of this attempt were dropped: {log_lines_per_attempt_max} are kept."
            kept.append(Line(lines[-1].at, "logging", "warning", text))
        self._shipper.add(self._execution_id, self._attempt, self._trace_id, kept)

    def add_bytes(self, stream: str, data: bytes, at: int) -> None:
        """What a plain function wrote to a file descriptor."""
        if self._count > log_lines_per_attempt_max:
            return
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = self._partial.pop(stream, b"") + whole[0]
            level = "info" if stream == "stdout" else "error"
            self.add([Line(at, stream, level, _text(line)) for line in whole])
        if rest:
            self._partial[stream] = (self._partial.get(stream, b"") + rest)[: log_line_chars_max * 4]

    def finish(self, at: int) -> None:
        """Take what was written without a line end."""
        for stream in list(self._partial):
            self.add_bytes(stream, b"\n", at)


def _text(line: bytes) -> str:
    text = line[: log_line_chars_max * 4].decode("utf-8", "replace").rstrip("\r")
    return text if len(text) <= log_line_chars_max else text[: log_line_chars_max - 1] + "…"
