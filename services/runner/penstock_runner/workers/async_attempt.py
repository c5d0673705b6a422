"""One attempt of an `async def` function: drives its durable calls, and says when it may be suspended."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import msgspec

from penstock.client.execution import Execution
from penstock.domain.durations import seconds
from penstock.domain.function.options import CallOptions
from penstock.functions.actions import AnyAction, CallItem, Outcome, ReportProgress
from penstock.functions.async_driver import AsyncDriver
from penstock.functions.context import current_attempt
from penstock.functions.operations import Called, Operation, detach
from penstock_runner.workers.attempt import history_of, opened, prepare, raised, returned
from penstock_runner.workers.current import enter_attempt, in_step
from penstock_runner.workers.lines import Writer
from penstock_runner.workers.messages import Answer, Ask, Beat, Compensated, Do, Extend, Message, Run
from penstock_runner.workers.scratch import remove_tree

if TYPE_CHECKING:
    from penstock_runner.workers.async_mode import AsyncMode


class AsyncAttempt:
    """One attempt; the port that its Context speaks through."""

    __slots__ = ("__weakref__", "_calls", "_driver", "_mode", "_next", "_run", "_scratch", "_writer")

    def __init__(self, mode: "AsyncMode", run: Run) -> None:
        self._mode = mode
        self._run = run
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._next = 0
        self._writer: Writer | None = None
        self._scratch: Path | None = None
        self._driver = AsyncDriver(
            history_of(run), self._do, compensating=run.compensating, in_step=partial(in_step, run)
        )

    @property
    def task(self) -> "asyncio.Task[Any]":
        return self._driver.task

    @task.setter
    def task(self, task: "asyncio.Task[Any]") -> None:
        self._driver.task = task

    @property
    def tasks(self) -> "WeakSet[asyncio.Task[Any]]":
        return self._driver.tasks

    @property
    def writer(self) -> Writer:
        if self._writer is None:
            self._writer = Writer(self._mode.link, self._run.number)
        return self._writer

    @property
    def by_main(self) -> bool:
        return self._driver.by_main

    async def run(self) -> None:
        mode, run = self._mode, self._run
        current_attempt.set(self)
        message: Message
        try:
            function, args, kwargs = prepare(mode.app, run, self, self._driver.history)
            enter_attempt(run)
            value = await _Marked(self._driver.body(function, args, kwargs), mode.marker, run.number)
            message = Compensated(run.number) if run.compensating else returned(mode.app, run, value, mode.scratch)
        except BaseException as error:
            message = raised(run.number, error, limited=mode.limited)
        if self._writer is not None:
            self._writer.finish()
        del mode.attempts[run.number]
        mode.put(message)
        if self._scratch is not None:
            # In a thread: the other attempts need the event loop, and there may be much to remove.
            asyncio.get_running_loop().run_in_executor(None, remove_tree, str(self._scratch))

    def stop(self, *, leaves: bool) -> None:
        self._driver.stop(leaves=leaves)

    def answered(self, answer: Answer) -> None:
        future = self._calls.pop(answer.call, None)
        if future is not None and not future.done():
            future.set_result(answer)

    # The port.
    def perform(self, operation: Operation) -> Any:
        return self._driver.perform(operation)

    def learned(self, outcomes: dict[str, Outcome]) -> None:
        """Operations are over: what waits for one of them goes on."""
        self._driver.learned(outcomes)

    def _do(self, action: AnyAction) -> Any:
        return self._call(Do, action=action)

    def report(self, progress: ReportProgress) -> None:
        if not self._run.compensating:
            self._next += 1
            self._mode.put(Do(self._run.number, self._next, progress))

    def scratch(self) -> Path:
        if self._scratch is None:
            path = Path(self._mode.directory, str(self._run.number))
            path.mkdir(0o700)
            self._scratch = path
        return self._scratch

    def heartbeat(self) -> None:
        self._mode.link.send(Beat(self._run.number))

    def extend(self, seconds: float) -> None:
        self._mode.link.send(Extend(self._run.number, seconds))

    async def _call(self, kind: Callable[..., Message], **fields: Any) -> Any:
        self._next += 1
        call = self._next
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls[call] = future
        self._mode.put(kind(number=self._run.number, call=call, **fields))
        return opened(await future)

    def enqueue(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Any:
        called = Called(function, [CallItem(args, kwargs)], options, str, "leave")
        history = self._driver.history
        place = history.place(function, "call", by_main=self.by_main)
        return self._handle(detach(history, place, called))

    async def _handle(self, operation: Operation) -> Execution:
        return Execution((await self.perform(operation))[0], self)

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

    async def rerun(self, execution_id: str, from_step: str | None) -> Execution:
        return Execution(await self._ask("rerun", execution_id, from_step=from_step), self)

    async def resume(self, execution_id: str) -> None:
        await self._ask("resume", execution_id)

    async def message(self, execution_id: str, body: bytes, channel: str, message_id: str | None) -> Any:
        return await self._ask("message", execution_id, body=msgspec.Raw(body), channel=channel, id=message_id)


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
