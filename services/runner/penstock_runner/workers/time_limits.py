"""The times within which an attempt has to end, or show that it is alive: one timer for all of them."""

import asyncio
from collections.abc import Callable

from penstock_runner.workers.assignment import Killed


class TimeLimits:
    """Of one attempt, from `begin` to `end`. All in seconds: `timeout` for this attempt, `total` until the whole
    execution is out of time, `heartbeat` between two signs of life.
    """

    __slots__ = ("_attempt", "_beat", "_ends", "_heartbeat", "_loop", "_stop", "_timeout", "_timer", "_total")

    def __init__(self, timeout: float | None, total: float | None = None, heartbeat: float | None = None) -> None:
        self._timeout = timeout
        self._total = total
        self._heartbeat = heartbeat
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, stop: Callable[[Killed], None]) -> None:
        """Count from now on; `stop` is called at most once, with the reason."""
        self._loop = asyncio.get_running_loop()
        self._stop = stop
        now = self._beat = self._loop.time()
        self._attempt = None if self._timeout is None else now + self._timeout
        self._ends = None if self._total is None else now + self._total
        self._wait()

    def beat(self) -> None:
        """User code is alive."""
        self._beat = self._loop.time()

    def extend(self, seconds: float) -> None:
        """The attempt may take so long from now on, if it has a time-out at all; the whole execution gets no longer."""
        if self._attempt is not None and self._timer is not None:
            self._attempt, self._timeout = self._loop.time() + seconds, None
            self._timer.cancel()
            self._wait()

    def end(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        silent = None if self._heartbeat is None else self._beat + self._heartbeat
        first = min((at for at in (self._attempt, self._ends, silent) if at is not None), default=None)
        self._timer = None if first is None else self._loop.call_at(first, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if self._ends is not None and now >= self._ends:
            self._over("The execution did not end within its total_timeout.", terminal=True)
        elif self._attempt is not None and now >= self._attempt:
            took = f"longer than {self._timeout:g} seconds" if self._timeout is not None else "longer than it asked for"
            self._over(f"The attempt took {took}.")
        elif self._heartbeat is not None and now >= self._beat + self._heartbeat:
            self._over(f"The function has not called ctx.heartbeat() for {self._heartbeat:g} seconds.")
        else:
            self._wait()

    def _over(self, message: str, terminal: bool = False) -> None:
        self._timer = None
        self._stop(Killed("timed_out", message, terminal))
