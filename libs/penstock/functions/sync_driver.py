"""Drives the durable calls of a plain `def` function.

Whoever runs the function gives it `do`, which has actions carried out, and `wait`, which returns when one of some
operations is over and raises when the function is suspended instead.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from penstock.domain.errors import Rejected
from penstock.functions.actions import AnyAction, MakeToken, OpenWaits, WaitFor
from penstock.functions.context import current_step
from penstock.functions.define import plain
from penstock.functions.errors import CompensationPoint, StepTimedOut, Stopped
from penstock.functions.history import History
from penstock.functions.operations import Act, InStep, Invoke, Operation, Pause, Recall, undo, unseen


class SyncDriver:
    """One attempt, made in the thread that runs it. Without `alarms` time-outs of steps are not kept."""

    def __init__(
        self,
        history: History,
        do: Callable[[AnyAction], Any],
        wait: Callable[[Sequence[str]], None],
        *,
        compensating: bool,
        alarms: bool = True,
        in_step: InStep = unseen,
    ) -> None:
        self.history = history
        self._do = do
        self._wait = wait
        self._compensating = compensating
        self._alarms = alarms
        self._in_step = in_step
        self._undoing = False
        self._left = False
        self._thread = threading.current_thread()

    @property
    def by_main(self) -> bool:
        return threading.current_thread() is self._thread

    def compensate(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Replay the function as far as its history goes, to learn what undoes it; then undo."""
        try:
            function(*args, **kwargs)
        except CompensationPoint:
            pass
        except Exception:  # noqa: S110 - it failed before; that is why it is undone
            pass
        self._undoing = True
        self.perform(undo(self.history))

    def perform(self, operation: Operation) -> Any:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                action = operation.send(value) if error is None else operation.throw(error)
            except StopIteration as stop:
                return stop.value
            except BaseException as failure:
                self._left = self._left or isinstance(failure, Stopped)
                self.history.failed(failure)
                raise
            value = error = None
            try:
                # What is stored lies before that end.
                if type(action) is not Recall and (type(action) is not Act or type(action.action) is not MakeToken):
                    self._end_of_history()
                if type(action) is Invoke:
                    value = self._invoke(action)
                elif type(action) is Act:
                    value = self._do(action.action)
                elif type(action) is Pause:
                    self._pause(action.waits)
            except BaseException as raised_here:
                error = raised_here

    def _end_of_history(self) -> None:
        if self._left:
            # It waits, or is cancelled: what it cleans up with does no further steps.
            raise Stopped("The execution was stopped.")
        if self._compensating and not self._undoing:
            raise CompensationPoint

    def _invoke(self, action: Invoke) -> Any:
        token = current_step.set(action.step)
        leave = self._in_step(action.step, action.tried)
        try:
            function = plain(action.function)
            if action.timeout is None or not self._alarms:
                return function(*action.args, **action.kwargs)
            with _alarm(action.step, action.timeout):
                return function(*action.args, **action.kwargs)
        finally:
            leave()
            current_step.reset(token)

    def _pause(self, waits: Sequence[WaitFor]) -> None:
        if not self.by_main:
            raise Rejected("invalid_option", "Only the function's own thread can wait, not one that it started.")
        keys = [wait.key for wait in waits]
        self._do(OpenWaits(list(waits), keys, suspends=True))
        self._wait(keys)


@contextmanager
def _alarm(step: str, limit: float) -> Iterator[None]:
    """Raise StepTimedOut in the main thread after `limit` seconds. Raises Rejected in any other thread."""
    if threading.current_thread() is not threading.main_thread():
        raise Rejected("invalid_option", "A step in a thread of its own can have no timeout; only the main thread can.")

    def expired(*_: object) -> None:
        raise StepTimedOut(f"Step {step} took longer than {limit:g} seconds.")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
