"""One attempt of an `async def` function: drives its durable calls, and says when it may be suspended."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import msgspec

from penstock.client.execution import Execution
from penstock.domain.durations import seconds
from penstock.domain.function.options import CallOptions
from penstock.functions.actions import AnyAction, CallItem, MakeToken, OpenWaits, Outcome, ReportProgress, WaitFor
from penstock.functions.context import current_attempt, current_step
from penstock.functions.errors import StepTimedOut
from penstock.functions.history import History
from penstock.functions.operations import Act, Called, Invoke, Operation, Pause, detach, undo
from penstock_runner.workers.attempt import enter_span, history_of, opened, plain, prepare, raised, returned
from penstock_runner.workers.idle import is_idle
from penstock_runner.workers.lines import Writer
from penstock_runner.workers.messages import Answer, Ask, Compensated, Do, Message, Run

if TYPE_CHECKING:
    from penstock_runner.workers.async_mode import AsyncMode

LOOK_SECONDS = 1.0
"""How often an attempt with open waits that does something else beside is looked at again."""


class AsyncAttempt:
    """One attempt; the port that its Context speaks through."""

    __slots__ = (
        *("_asking", "_blocked", "_busy", "_calls", "_history", "_looking", "_main", "_mode", "_next", "_opened"),
        *("_run", "_to_open", "_undoing", "_writer", "__weakref__", "task", "tasks"),
    )

    def __init__(self, mode: "AsyncMode", run: Run) -> None:
        self._mode = mode
        self._run = run
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._next = 0
        self._writer: Writer | None = None
        self._history: History | None = None
        self._busy = 0
        """Steps that run and actions that are not answered: while there are any, it is not suspended."""
        self._blocked: dict[asyncio.Future[None], Sequence[str]] = {}
        self._to_open: list[WaitFor] = []
        self._opened: set[str] = set()
        self._asking = False
        self._looking = False
        self._undoing = False
        self._main: Coroutine[Any, Any, Any] | None = None
        self.task: asyncio.Task[None]
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        """Tasks that its code has started."""

    @property
    def writer(self) -> Writer:
        if self._writer is None:
            self._writer = Writer(self._mode.link, self._run.number)
        return self._writer

    @property
    def history(self) -> History:
        if self._history is None:
            self._history = history_of(self._run)
        return self._history

    @property
    def by_main(self) -> bool:
        return asyncio.current_task() is self.task

    async def run(self) -> None:
        mode, run = self._mode, self._run
        current_attempt.set(self)
        message: Message
        try:
            function, args, kwargs = prepare(mode.app, run, self, self.history)
            enter_span(run)
            self._main = self._body(function, args, kwargs)
            value = await _Marked(self._main, mode.marker, run.number)
            message = Compensated(run.number) if run.compensating else returned(run, value, mode.scratch)
        except BaseException as error:
            message = raised(run.number, error, limited=mode.limited)
        if self._writer is not None:
            self._writer.finish()
        del mode.attempts[run.number]
        mode.put(message)

    async def _body(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._run.compensating:
            return await self._compensate(function, args, kwargs)
        value = await function(*args, **kwargs)
        self.history.check_end()
        return value

    async def _compensate(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Replay the function as far as its history goes, to learn what undoes it; then undo."""
        try:
            await function(*args, **kwargs)
        except asyncio.CancelledError:
            if not self._undoing:
                raise
            self.task.uncancel()
        except Exception:  # noqa: S110 - it failed before; that is why it is undone
            pass
        self._undoing = True
        await self.perform(undo(self.history))

    def answered(self, answer: Answer) -> None:
        future = self._calls.pop(answer.call, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def learned(self, outcomes: dict[str, Outcome]) -> None:
        """Operations are over: what waits for one of them goes on."""
        self.history.outcomes.update(outcomes)
        for future, keys in list(self._blocked.items()):
            if not future.done() and any(key in outcomes for key in keys):
                future.set_result(None)

    # Operations.
    async def perform(self, operation: Operation) -> Any:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                action = operation.send(value) if error is None else operation.throw(error)
            except StopIteration as stop:
                return stop.value
            value = error = None
            try:
                if type(action) is Invoke:
                    value = await self._invoke(action)
                elif type(action) is Act:
                    value = await self._act(action.action)
                elif type(action) is Pause:
                    await self._pause(action.waits)
            except BaseException as raised_here:
                error = raised_here

    async def _invoke(self, action: Invoke) -> Any:
        await self._end_of_history()
        token = current_step.set(action.step)
        self._busy += 1
        try:
            value = plain(action.function)(*action.args, **action.kwargs)
            if not inspect.isawaitable(value):
                return value
            if action.timeout is None:
                return await value
            try:
                async with asyncio.timeout(action.timeout) as timer:
                    return await value
            except TimeoutError:
                if not timer.expired():
                    raise
                raise StepTimedOut(f"Step {action.step} took longer than {action.timeout:g} seconds.") from None
        finally:
            self._busy -= 1
            current_step.reset(token)
            self._look_soon()

    async def _act(self, action: AnyAction) -> Any:
        if type(action) is not MakeToken:
            await self._end_of_history()
        self._busy += 1
        try:
            return await self._call(Do, action=action)
        finally:
            self._busy -= 1
            self._look_soon()

    async def _pause(self, waits: Sequence[WaitFor]) -> None:
        await self._end_of_history()
        self._to_open += [wait for wait in waits if wait.key not in self._opened]
        self._opened.update(wait.key for wait in waits)
        await self._block([wait.key for wait in waits])

    async def _end_of_history(self) -> None:
        """In a replay that only learns what to undo, this is as far as the code gets."""
        if self._run.compensating and not self._undoing:
            await self._block([])

    async def _block(self, keys: Sequence[str]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._blocked[future] = keys
        self._look_soon()
        try:
            await future
        finally:
            del self._blocked[future]

    def _look_soon(self, delay: float = 0.0) -> None:
        """See whether it can be suspended, after the tasks that are about to run have run."""
        if self._looking or not self._blocked:
            return
        self._looking = True
        loop = asyncio.get_running_loop()
        if delay:
            loop.call_later(delay, self._look)
        else:
            loop.call_soon(loop.call_soon, self._look)

    def _look(self) -> None:
        self._looking = False
        if not self._blocked or self._asking:
            return
        idle = self._busy == 0 and is_idle({self.task, *self.tasks}, self._blocked.keys(), self._inner)
        if self._run.compensating and not self._undoing:
            if idle:
                self._undoing = True
                self.task.cancel()
        elif self._to_open or idle:
            waits, self._to_open = self._to_open, []
            self._asking = True
            blocked = [key for future, keys in self._blocked.items() if not future.done() for key in keys]
            action = OpenWaits(waits, blocked, suspends=idle)
            asking = asyncio.get_running_loop().create_task(self._call(Do, action=action))
            asking.add_done_callback(self._asked)
        # Code that waits for something else beside may become idle without a sign.
        self._look_soon(LOOK_SECONDS)

    def _inner(self, task: "asyncio.Task[Any]") -> Any:
        return self._main if task is self.task else task.get_coro()

    def _asked(self, asking: "asyncio.Task[Any]") -> None:
        self._asking = False
        error = None if asking.cancelled() else asking.exception()
        if error is None:
            return
        for future in list(self._blocked):
            if not future.done():
                future.set_exception(error)

    def report(self, progress: ReportProgress) -> None:
        if not self._run.compensating:
            self._next += 1
            self._mode.put(Do(self._run.number, self._next, progress))

    async def _call(self, kind: Callable[..., Message], **fields: Any) -> Any:
        self._next += 1
        call = self._next
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls[call] = future
        self._mode.put(kind(number=self._run.number, call=call, **fields))
        return opened(await future)

    def enqueue(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Any:
        called = Called(function, [CallItem(args, kwargs)], options, str, "leave")
        place = self.history.place(function, "call", by_main=self.by_main)
        return self._handle(detach(self.history, place, called))

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
