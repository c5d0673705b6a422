"""One attempt as the runner gives it to a worker process, and the ways in which it may end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from penstock.functions.actions import Outcome
from penstock_runner.lines import Capture
from penstock_runner.workers.messages import Answer, Ask, Compensated, Do, Message, Outcomes, Raised, Returned, Run

if TYPE_CHECKING:
    from penstock_runner.workers.time_limits import TimeLimits


class Killed(msgspec.Struct, frozen=True):
    """The process ended with the attempt in it. `code`: crashed, timed_out, out_of_memory, cancelled, drained,
    closed or suspended."""

    code: str
    message: str = ""
    terminal: bool = False
    """No other attempt may follow."""


Ending = Returned | Raised | Compensated | Killed
Request = Do | Ask
Respond = Callable[[Request], Awaitable[Answer]]


class Assignment:
    """An attempt under way. `ending` is set once; `verdict` is why we stopped it, if we did."""

    __slots__ = ("capture", "ending", "limits", "respond", "run", "send", "timer", "verdict")

    def __init__(self, run: Run, capture: Capture, respond: Respond, ending: "asyncio.Future[Ending]") -> None:
        self.run = run
        self.capture = capture
        self.respond = respond
        self.ending = ending
        self.verdict: Killed | None = None
        self.timer: asyncio.TimerHandle | None = None
        """Runs while it was asked to stop."""
        self.limits: TimeLimits | None = None
        self.send: Callable[[Message], None] | None = None
        """To the process that it runs in."""

    def tell(self, outcomes: dict[str, Outcome]) -> None:
        """Operations that the code waits for are over."""
        if self.send is not None:
            self.send(Outcomes(self.run.number, outcomes))

    def end(self, ending: Ending) -> None:
        """Settle it; what comes later is ignored."""
        if self.limits is not None:
            self.limits.end()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.ending.done():
            self.ending.set_result(ending)
