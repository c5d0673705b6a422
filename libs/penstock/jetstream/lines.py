"""The lines that user code wrote, read from the stream LOGS attempt by attempt."""

from typing import NamedTuple

import msgspec

from penstock.jetstream.connect import Connection
from penstock.jetstream.reader import DirectReader
from penstock.wire.names import Names


class Line(msgspec.Struct, frozen=True):
    """One line; `at` is microseconds since the epoch, `stream` is stdout, stderr or logging."""

    at: int
    stream: str = "stdout"
    level: str = "info"
    text: str = ""


class StoredLine(NamedTuple):
    """A line and where it stands: its attempt, the position of its message in LOGS."""

    attempt: int
    sequence: int
    line: Line


class _Lines(msgspec.Struct):
    lines: list[Line] = []


_decode = msgspec.json.Decoder(_Lines).decode


class LogLines:
    """Reads the lines of executions."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._reader = DirectReader(connection)
        self._names = names

    async def read(self, execution_id: str, attempts: int, first: int = 1) -> list[StoredLine]:
        """All kept lines of the attempts `first` to `attempts`, in order. Raises Unavailable."""
        found: list[StoredLine] = []
        for attempt in range(first, attempts + 1):
            subject = self._names.log_subject(execution_id, attempt)
            for message in await self._reader.subject(self._names.logs, subject):
                lines = _lines_of(message.data)
                found.extend(StoredLine(attempt, message.sequence, line) for line in lines)
        return found


def _lines_of(data: bytes) -> list[Line]:
    try:
        return _decode(data).lines
    except msgspec.MsgspecError as error:
        # Shown instead of hidden: somebody looks for these lines.
        return [Line(at=0, stream="stderr", level="error", text=f"(lines that cannot be decoded: {error})")]
