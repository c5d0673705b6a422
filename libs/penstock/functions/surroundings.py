"""The part of a Context that is about the attempt and not about its history: its directory and its time."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.limits import timeout_seconds_max

BEAT_SECONDS_MIN = 0.2
"""A heartbeat that follows another sooner is not sent."""


class SurroundingsPort(Protocol):
    """What the worker process offers here. Nothing of it is awaited, in either kind of function."""

    def scratch(self) -> Path:
        """The directory of this attempt, made if it is not there yet."""

    def heartbeat(self) -> None:
        """Tell that the attempt is alive, from any thread."""

    def extend(self, seconds: float) -> None:
        """Let the attempt take so long from now on, from any thread."""


class Surroundings:
    """What surrounds an attempt. Never awaited."""

    __slots__ = ("_beat_at", "_surroundings")

    def __init__(self, port: SurroundingsPort) -> None:
        self._surroundings = port
        self._beat_at = 0.0

    @property
    def scratch(self) -> Path:
        """A directory for this attempt alone; it is removed when the attempt has ended, whatever its end is."""
        return self._surroundings.scratch()

    def heartbeat(self) -> None:
        """Say that the work goes on: a function with the option `heartbeat` has to, so often."""
        now = time.monotonic()
        if now - self._beat_at >= BEAT_SECONDS_MIN:
            self._beat_at = now
            self._surroundings.heartbeat()

    def extend_timeout(self, duration: str | float | timedelta) -> None:
        """Let this attempt take `duration` from now on instead of its `timeout`.

        `total_timeout` stays as it is, and where there is no `timeout` nothing changes. Raises Rejected.
        """
        length = seconds(duration, "extend_timeout")
        if not 0 < length <= timeout_seconds_max:
            raise Rejected("invalid_duration", f"extend_timeout takes more than 0 and at most {timeout_seconds_max} s.")
        self._surroundings.extend(length)
