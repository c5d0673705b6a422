"""Worker process for `async def` functions: one event loop, many attempts at once."""

import asyncio
import inspect
import mmap
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import msgspec

from penstock.client.execution import Execution
from penstock.domain.durations import seconds
from penstock.domain.function.options import CallOptions
from penstock.functions.context import current_attempt
from penstock.functions.define import App
from penstock.functions.values import to_json
from penstock_runner.workers.attempt import enter_span, now, opened, plain, prepare, returned, step_value
from penstock_runner.workers.describe import raised
from penstock_runner.workers.lines import Writer, route_logging, route_streams
from penstock_runner.workers.link import Link
from penstock_runner.workers.messages import Answer, Ask, Cancel, Enqueue, Message, Run, StepDone


class AsyncMode:
    """The attempts of this process. `marker` tells the runner which of them holds the event loop right now."""

    def __init__(self, link: Link, scratch: str, marker_fd: int, *, limited: bool) -> None:
        self.link = link
        self.scratch = scratch
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
            elif type(message) is Cancel and (known := self.attempts.get(message.number)) is not None:
                known.task.cancel()

    def put(self, message: Message) -> None:
        """Send at the end of this turn of the loop, together with what else it brings."""
        self.link.put(message)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self.link.flush()


class AsyncAttempt:
    """One attempt; the port that its Context speaks through."""

    __slots__ = ("_calls", "_mode", "_next", "_run", "_writer", "task")

    def __init__(self, mode: AsyncMode, run: Run) -> None:
        self._mode = mode
        self._run = run
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._next = 0
        self._writer: Writer | None = None
        self.task: asyncio.Task[None]

    @property
    def writer(self) -> Writer:
        if self._writer is None:
            self._writer = Writer(self._mode.link, self._run.number)
        return self._writer

    async def run(self) -> None:
        mode, run = self._mode, self._run
        current_attempt.set(self)
        message: Message
        try:
            function, args, kwargs = prepare(mode.app, run, self)
            enter_span(run)
            message = returned(run, await _Marked(function(*args, **kwargs), mode.marker, run.number), mode.scratch)
        except BaseException as error:
            message = raised(run.number, error, limited=mode.limited)
        if self._writer is not None:
            self._writer.finish()
        del mode.attempts[run.number]
        mode.put(message)

    def answered(self, answer: Answer) -> None:
        future = self._calls.pop(answer.call, None)
        if future is not None and not future.done():
            future.set_result(answer)

    async def _call(self, kind: Callable[..., Message], **fields: Any) -> Any:
        self._next += 1
        call = self._next
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls[call] = future
        self._mode.put(kind(number=self._run.number, call=call, **fields))
        return opened(await future)

    async def step(self, key: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        function = plain(function)
        stored = self._run.steps.get(key)
        if stored is not None:
            return step_value(function, stored)
        started_at = now()
        value = function(*args, **kwargs)
        if inspect.isawaitable(value):
            value = await value
        result = b"null" if value is None else to_json(value)
        await self._call(StepDone, step=key, started_at=started_at, result=result)
        return step_value(function, result)

    async def enqueue(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Execution:
        encoded = msgspec.json.encode(options)
        return Execution(await self._call(Enqueue, function=function, args=args, kwargs=kwargs, options=encoded), self)

    # The questions of handles.
    async def _ask(self, operation: str, execution_id: str, **body: Any) -> Any:
        return await self._call(Ask, operation=operation, execution_id=execution_id, body=msgspec.json.encode(body))

    async def result(self, execution_id: str, timeout: Any) -> Any:
        limit = None if timeout is None else seconds(timeout, "timeout")
        return await self._ask("result", execution_id, timeout=limit)

    async def state(self, execution_id: str) -> Any:
        return await self._ask("state", execution_id)

    async def cancel(self, execution_id: str, force: bool) -> None:
        await self._ask("cancel", execution_id, force=force)

    async def reschedule(self, execution_id: str, delay: Any) -> None:
        await self._ask("reschedule", execution_id, delay=None if delay is None else seconds(delay, "delay"))

    async def rerun(self, execution_id: str) -> Execution:
        return Execution(await self._ask("rerun", execution_id), self)


class _Marked:
    """A coroutine that leaves its number in shared memory whenever it holds the event loop.

    When the process dies or hangs, the runner reads there who did it, and does not charge the others.
    """

    __slots__ = ("_coroutine", "_marker", "_number")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], marker: memoryview, number: int) -> None:
        self._coroutine = coroutine
        self._marker = marker
        self._number = number

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine, marker, number = self._coroutine, self._marker, self._number
        resume: Callable[..., Any] = coroutine.send
        value: Any = None
        while True:
            marker[0] = number
            try:
                yielded = resume(value)
            except StopIteration as stop:
                return stop.value
            finally:
                marker[0] = 0
            try:
                value = yield yielded
                resume = coroutine.send
            except BaseException as error:
                value, resume = error, coroutine.throw


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
