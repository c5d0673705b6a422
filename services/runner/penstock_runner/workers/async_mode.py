"""Worker process for `async def` functions: one event loop, many attempts at once."""

import asyncio
import mmap
from collections.abc import Callable
from typing import Any

from penstock.functions.context import current_attempt
from penstock.functions.define import App
from penstock.functions.idle import register_tasks
from penstock_runner.workers.async_attempt import AsyncAttempt
from penstock_runner.workers.lines import Writer, route_logging, route_streams
from penstock_runner.workers.link import Link
from penstock_runner.workers.messages import Answer, Cancel, Message, Outcomes, Run


class AsyncMode:
    """The attempts of this process. `marker` tells the runner which of them holds the event loop right now."""

    def __init__(self, link: Link, scratch: str, directory: str, marker_fd: int, *, limited: bool) -> None:
        self.link = link
        self.scratch = scratch
        self.directory = directory
        self.limited = limited
        self.marker = memoryview(mmap.mmap(marker_fd, 8)).cast("Q")
        self.app: App = None  # type: ignore[assignment]  # set by `run`, before any attempt
        self.attempts: dict[int, AsyncAttempt] = {}
        self._flushing = False
        self._loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]

    def prepare(self) -> None:
        """Before the app is loaded: its import may print and log."""
        route_streams(_writer)
        route_logging(_writer)

    def run(self, app: App) -> None:
        self.app = app
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        register_tasks(self._loop, _register)
        closed = asyncio.Event()
        self._loop.add_reader(self.link.socket.fileno(), self._on_readable, closed)
        await closed.wait()
        self._loop.remove_reader(self.link.socket.fileno())

    def _on_readable(self, closed: asyncio.Event) -> None:
        messages = self.link.receive()
        if messages is None:
            closed.set()
            return
        for message in messages:
            if type(message) is Run:
                attempt = AsyncAttempt(self, message)
                self.attempts[message.number] = attempt
                attempt.task = self._loop.create_task(attempt.run())
            elif type(message) is Answer:
                known = self.attempts.get(message.number)
                if known is not None:
                    known.answered(message)
            elif type(message) is Outcomes:
                known = self.attempts.get(message.number)
                if known is not None:
                    known.learned(message.outcomes)
            elif type(message) is Cancel and (known := self.attempts.get(message.number)) is not None:
                known.stop(leaves=message.leaves)

    def put(self, message: Message) -> None:
        """Send at the end of this turn of the loop, together with what else it brings."""
        self.link.put(message)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self.link.flush()


def _register(task: "asyncio.Task[Any]") -> None:
    attempt = current_attempt.get()
    if isinstance(attempt, AsyncAttempt):
        attempt.tasks.add(task)


def _writer() -> Writer | None:
    attempt = current_attempt.get()
    return attempt.writer if isinstance(attempt, AsyncAttempt) else None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
