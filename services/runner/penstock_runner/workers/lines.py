"""Lines of user code inside a worker process: `print` and `logging` go to the attempt that wrote them."""

import io
import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

from penstock.domain.limits import log_line_chars_max, log_lines_per_attempt_max
from penstock.functions.failures import clean
from penstock_runner.workers.link import Link
from penstock_runner.workers.messages import Line, Lines


class Writer:
    """The lines of one attempt: cut at the limits, sent at once, so that they outlive the process."""

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._number = number
        self._sent = 0
        self._partial = {"stdout": "", "stderr": ""}

    def write(self, stream: str, text: str) -> None:
        """Text as a stream gets it; whole lines are sent."""
        if self._sent > log_lines_per_attempt_max:
            return
        *whole, rest = text.split("\n", log_lines_per_attempt_max + 1)
        if not whole:
            self._partial[stream] = (self._partial[stream] + rest)[:log_line_chars_max]
            return
        whole[0] = self._partial[stream] + whole[0]
        self._partial[stream] = rest[:log_line_chars_max]
        level = "info" if stream == "stdout" else "error"
        self._send([Line(_now(), stream, level, clean(line, log_line_chars_max)) for line in whole])

    def log(self, level: str, text: str) -> None:
        """One record of `logging`."""
        if self._sent <= log_lines_per_attempt_max:
            self._send([Line(_now(), "logging", level, clean(text, log_line_chars_max))])

    def finish(self) -> None:
        """Send what was written without a line end."""
        for stream, text in self._partial.items():
            if text:
                self.write(stream, "\n")

    def _send(self, lines: list[Line]) -> None:
        # One line more than the limit goes out: it tells the runner that there was more.
        lines = lines[: log_lines_per_attempt_max + 1 - self._sent]
        if lines:
            self._sent += len(lines)
            self._link.send(Lines(self._number, lines))


Find = Callable[[], Writer | None]


class RoutedStream(io.TextIOBase):
    """Stands in for sys.stdout or sys.stderr in a process that runs many attempts at once."""

    def __init__(self, name: str, original: TextIO, find: Find) -> None:
        self._name = name
        self._original = original
        self._find = find
        self.buffer = original.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._original.fileno()

    def flush(self) -> None:
        self._original.flush()

    def write(self, text: str) -> int:
        writer = self._find()
        if writer is None:
            return self._original.write(text)
        writer.write(self._name, text)
        return len(text)


class AttemptHandler(logging.Handler):
    """Sends log records to the attempt that wrote them; outside of attempts they go to stderr."""

    def __init__(self, find: Find) -> None:
        super().__init__()
        self._find = find
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:
            text = f"{record.name}: a log record that cannot be shown ({type(error).__name__})"
        writer = self._find()
        if writer is not None:
            writer.log(record.levelname.lower(), text)
        elif sys.__stderr__ is not None:
            sys.__stderr__.write(text + "\n")


def route_logging(find: Find) -> None:
    """Make `logging` go to attempts, from level info on."""
    root = logging.getLogger()
    root.addHandler(AttemptHandler(find))
    root.setLevel(logging.INFO)


def route_streams(find: Find) -> None:
    """Make `print` go to attempts."""
    sys.stdout = RoutedStream("stdout", sys.stdout, find)
    sys.stderr = RoutedStream("stderr", sys.stderr, find)


def _now() -> int:
    return time.time_ns() // 1000
