"""Drives the durable calls of an `async def` function, and says when it may be suspended.

Whoever runs the function gives it `do`, which has actions carried out: a worker process asks its runner, the test kit
does it itself.
"""

import asyncio
import heapq
import inspect
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any
from weakref import WeakSet

from penstock.functions.actions import AnyAction, MakeToken, OpenWaits, Outcome, WaitFor
from penstock.functions.context import current_step
from penstock.functions.define import plain
from penstock.functions.errors import StepTimedOut
from penstock.functions.history import History
from penstock.functions.idle import is_idle
from penstock.functions.operations import Act, InStep, Invoke, Operation, Pause, Recall, undo, unseen

TURN_LOOKS = 20
"""Turns of the event loop for which a stored result waits for code that is on its way to an earlier one."""
LOOK_SECONDS = 1.0
"""How often code with open waits that does something else beside is looked at again."""


class AsyncDriver:
    """One attempt. `task` runs `body`; `tasks` are those that its code has started."""

    __slots__ = (
        *("_asking", "_at_end", "_blocked", "_busy", "_compensating", "_do", "_in_step", "_later", "_left", "_looking"),
        *("_main", "_numbers", "_opened", "_to_open", "_turns", "_undoing", "history", "task", "tasks"),
    )

    def __init__(
        self,
        history: History,
        do: Callable[[AnyAction], Awaitable[Any]],
        *,
        compensating: bool,
        in_step: InStep = unseen,
    ) -> None:
        self.history = history
        self._in_step = in_step
        self._do = do
        self._compensating = compensating
        self._busy = 0
        """Steps that run and actions that are not answered: while there are any, it is not suspended."""
        self._blocked: dict[asyncio.Future[None], Sequence[str]] = {}
        self._to_open: list[WaitFor] = []
        self._opened: set[str] = set()
        self._asking = False
        self._looking = False
        self._later: asyncio.TimerHandle | None = None
        self._at_end = False
        """The replay that only learns what to undo has come to the end of the history."""
        self._undoing = False
        self._left = False
        self._turns: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap of stored results that wait for their turn, by number."""
        self._numbers = itertools.count()
        self._main: Coroutine[Any, Any, Any] | None = None
        self.task: asyncio.Task[Any]
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()

    @property
    def by_main(self) -> bool:
        return asyncio.current_task() is self.task

    @property
    def is_quiet(self) -> bool:
        """Whether at most one action and no step is under way."""
        return self._busy <= 1

    def body(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Coroutine[Any, Any, Any]:
        """What `task` is to run: the function, and its undoing if that is what this attempt is for."""
        self._main = self._body(function, args, kwargs)
        return self._main

    async def _body(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._compensating:
            return await self._compensate(function, args, kwargs)
        value = await function(*args, **kwargs)
        self.history.check_end()
        return value

    async def _compensate(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Replay the function as far as its history goes, to learn what undoes it; then undo."""
        try:
            await function(*args, **kwargs)
        except asyncio.CancelledError:
            if not self._at_end:
                raise
            self.task.uncancel()
        except Exception:  # noqa: S110 - it failed before; that is why it is undone
            pass
        self._undoing = True
        await self.perform(undo(self.history))

    def stop(self, *, leaves: bool) -> None:
        """Cancel the code. With `leaves` it goes on elsewhere or later: what cleans up in it does no further steps."""
        self._left = self._left or leaves
        self.history.stray()
        self.task.cancel()

    def learned(self, outcomes: dict[str, Outcome]) -> None:
        """Operations are over: what waits for one of them goes on."""
        self.history.outcomes.update(outcomes)
        over: list[tuple[int, int, asyncio.Future[None]]] = []
        for future, keys in self._blocked.items():
            ended = [outcomes[key].n for key in keys if key in outcomes]
            if ended and not future.done():
                over.append((min(ended), len(over), future))
        # In the order in which they ended, as on every replay.
        for _, _, future in sorted(over):
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
            except BaseException as failure:
                self.history.failed(failure)
                raise
            value = error = None
            try:
                if type(action) is Invoke:
                    value = await self._invoke(action)
                elif type(action) is Act:
                    value = await self._act(action.action)
                elif type(action) is Pause:
                    await self._pause(action.waits)
                elif type(action) is Recall:
                    await self._recall(action.n)
            except BaseException as raised_here:
                error = raised_here

    async def _invoke(self, action: Invoke) -> Any:
        await self._end_of_history()
        token = current_step.set(action.step)
        leave = self._in_step(action.step, action.tried)
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
            leave()
            current_step.reset(token)
            self._look_soon()

    async def _act(self, action: AnyAction) -> Any:
        if type(action) is not MakeToken:
            await self._end_of_history()
        self._busy += 1
        try:
            return await self._do(action)
        finally:
            self._busy -= 1
            self._look_soon()

    async def _pause(self, waits: Sequence[WaitFor]) -> None:
        await self._end_of_history()
        self._to_open += [wait for wait in waits if wait.key not in self._opened]
        self._opened.update(wait.key for wait in waits)
        await self._block([wait.key for wait in waits])

    async def _end_of_history(self) -> None:
        """In a replay that only learns what to undo, this is as far as the code gets; nor does it after it has left."""
        if self._left or (self._at_end and not self._undoing):
            # Code that takes no notice shall not keep the others on this event loop waiting.
            await asyncio.sleep(0)
            raise asyncio.CancelledError
        if self._compensating and not self._undoing:
            await self._block([])

    async def _recall(self, n: int) -> None:
        """Its turn comes when nothing that was over earlier is still to go on. Alone, it is at once."""
        current = asyncio.current_task()
        others = (task for task in (self.task, *self.tasks) if task is not current)
        if not self._turns and all(task.done() for task in others):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._turns, (n, next(self._numbers), future))
        if len(self._turns) == 1:
            self._next_turn(0)
        await future

    def _next_turn(self, looks: int) -> None:
        """Let the earliest go on when all code that runs has come to where it waits, or has had enough time for it."""
        turns = {future for _, _, future in self._turns}
        waiting = {*self._blocked, *turns}
        if looks < TURN_LOOKS and not is_idle({self.task, *self.tasks}, waiting, self._inner):
            asyncio.get_running_loop().call_soon(self._next_turn, looks + 1)
            return
        _, _, future = heapq.heappop(self._turns)
        if not future.done():
            future.set_result(None)
        if self._turns:
            asyncio.get_running_loop().call_soon(self._next_turn, 0)

    async def _block(self, keys: Sequence[str]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._blocked[future] = keys
        self._look_soon()
        try:
            await future
        finally:
            del self._blocked[future]

    def _look_soon(self) -> None:
        """See whether it can be suspended, after the tasks that are about to run have run."""
        if self._looking or not self._blocked:
            return
        self._looking = True
        if self._later is not None:
            self._later.cancel()
            self._later = None
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._look)

    def _look_later(self) -> None:
        """Code that waits for something else beside may become idle without a sign."""
        if self._blocked and not self._looking and self._later is None:
            self._later = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looking, self._later = False, None
        if not self._blocked or self._asking:
            return
        idle = self._busy == 0 and is_idle({self.task, *self.tasks}, self._blocked.keys(), self._inner)
        if self._compensating and not self._undoing:
            if idle:
                self._at_end = True
                self.task.cancel()
        elif self._to_open or idle:
            waits, self._to_open = self._to_open, []
            self._asking = True
            blocked = [key for future, keys in self._blocked.items() if not future.done() for key in keys]
            action = OpenWaits(waits, blocked, suspends=idle)
            asking = asyncio.get_running_loop().create_task(self._asked_for(action))
            asking.add_done_callback(self._asked)
        self._look_later()

    async def _asked_for(self, action: OpenWaits) -> None:
        await self._do(action)

    def _inner(self, task: "asyncio.Task[Any]") -> Any:
        return self._main if task is self.task else task.get_coro()

    def _asked(self, asking: "asyncio.Task[Any]") -> None:
        self._asking = False
        error = None if asking.cancelled() else asking.exception()
        if error is None:
            if self._to_open:
                # They came while the answer was under way.
                self._look_soon()
            else:
                self._look_later()
            return
        for future in list(self._blocked):
            if not future.done():
                future.set_exception(error)
