"""Worker process for plain `def` functions: one attempt at a time, in the main thread."""

import io
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from penstock.client.execution import Execution
from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.function.options import CallOptions
from penstock.functions.actions import CallItem, MakeToken, OpenWaits, ReportProgress, WaitFor
from penstock.functions.context import current_attempt, current_step
from penstock.functions.define import App
from penstock.functions.errors import CompensationPoint, StepTimedOut, Stopped
from penstock.functions.history import History
from penstock.functions.operations import Act, Called, Invoke, Operation, Pause, detach, undo
from penstock_runner.workers.attempt import enter_span, history_of, opened, plain, prepare, raised, returned
from penstock_runner.workers.lines import Writer, route_logging
from penstock_runner.workers.link import Link
from penstock_runner.workers.messages import Answer, Ask, Compensated, Do, Message, Outcomes, Run


class SyncMode:
    """The process. SIGTERM asks the running function to stop, by an exception raised in it."""

    def __init__(self, link: Link, scratch: str, *, limited: bool) -> None:
        self.link = link
        self.scratch = scratch
        self.limited = limited
        self.attempt: SyncAttempt | None = None
        self._inbox: deque[Any] = deque()

    def prepare(self) -> None:
        """Before the app is loaded: lines leave when they are complete, records go to the attempt."""
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOWrapper)
            stream.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
        route_logging(self._writer)
        signal.signal(signal.SIGTERM, self._on_stop)
        # Ctrl-C in a terminal goes to the whole foreground group; stopping is the runner's decision.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self, app: App) -> None:
        while (message := self.next()) is not None:
            if isinstance(message, Run):
                self._attempt(app, message)

    def next(self) -> Any:
        """The next message, waiting for it; None when the runner closed the socket."""
        while not self._inbox:
            self.link.wait()
            messages = self.link.receive()
            if messages is None:
                return None
            self._inbox.extend(messages)
        return self._inbox.popleft()

    def _attempt(self, app: App, run: Run) -> None:
        attempt = self.attempt = SyncAttempt(self, run)
        token = current_attempt.set(attempt)
        message: Message
        try:
            function, args, kwargs = prepare(app, run, attempt, attempt.history)
            enter_span(run)
            if run.compensating:
                with attempt.interruptible():
                    attempt.compensate(function, args, kwargs)
                message = Compensated(run.number)
            else:
                with attempt.interruptible():
                    value = function(*args, **kwargs)
                attempt.history.check_end()
                message = returned(run, value, self.scratch)
        except BaseException as error:
            message = raised(run.number, error, limited=self.limited)
        finally:
            current_attempt.reset(token)
        self.attempt = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.link.send(message)

    def _on_stop(self, *_: object) -> None:
        if self.attempt is not None:
            self.attempt.stop()

    def _writer(self) -> Writer | None:
        return self.attempt.writer if self.attempt is not None else None


class SyncAttempt:
    """One attempt; the port that its Context speaks through. It may be used from several threads of the function."""

    def __init__(self, mode: SyncMode, run: Run) -> None:
        self._mode = mode
        self._run = run
        self._lock = threading.Lock()
        self._next = 0
        self._stopping = False
        self._interruptible = False
        self._undoing = False
        self._history: History | None = None
        self.writer = Writer(mode.link, run.number)

    def interruptible(self) -> "_Interruptible":
        """While user code runs, and only then, may a stop interrupt it: never our own sending and receiving."""
        return _Interruptible(self, True)

    def stop(self) -> None:
        self._stopping = True
        if self._interruptible:
            raise Stopped("The execution was cancelled.")

    @property
    def history(self) -> History:
        if self._history is None:
            self._history = history_of(self._run)
        return self._history

    @property
    def by_main(self) -> bool:
        return threading.current_thread() is threading.main_thread()

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

    def _call(self, kind: Callable[..., Message], **fields: Any) -> Any:
        with _Interruptible(self, False), self._lock:
            self._next += 1
            self._mode.link.send(kind(number=self._run.number, call=self._next, **fields))
            while True:
                answer = self._receive()
                if isinstance(answer, Answer) and answer.call == self._next:
                    break
        return opened(answer)

    def _receive(self) -> Any:
        """The next message to this attempt; outcomes are taken in on the way."""
        while True:
            message = self._mode.next()
            if message is None:
                raise Stopped("The runner is gone.")
            if getattr(message, "number", None) != self._run.number:
                continue
            if isinstance(message, Outcomes):
                self.history.outcomes.update(message.outcomes)
            return message

    # Operations.
    def perform(self, operation: Operation) -> Any:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                action = operation.send(value) if error is None else operation.throw(error)
            except StopIteration as stop:
                return stop.value
            value = error = None
            try:
                if type(action) is not Act or type(action.action) is not MakeToken:
                    self._end_of_history()
                if type(action) is Invoke:
                    value = self._invoke(action)
                elif type(action) is Act:
                    value = self._call(Do, action=action.action)
                elif type(action) is Pause:
                    self._pause(action.waits)
            except BaseException as raised_here:
                error = raised_here

    def _end_of_history(self) -> None:
        if self._run.compensating and not self._undoing:
            raise CompensationPoint

    def _invoke(self, action: Invoke) -> Any:
        token = current_step.set(action.step)
        try:
            function = plain(action.function)
            if action.timeout is None:
                return function(*action.args, **action.kwargs)
            with _alarm(action.step, action.timeout):
                return function(*action.args, **action.kwargs)
        finally:
            current_step.reset(token)

    def _pause(self, waits: Sequence[WaitFor]) -> None:
        if not self.by_main:
            raise Rejected("invalid_option", "Only the function's own thread can wait, not one that it started.")
        keys = [wait.key for wait in waits]
        self._call(Do, action=OpenWaits(list(waits), keys, suspends=True))
        with _Interruptible(self, False), self._lock:
            while not any(self.history.done(key) for key in keys):
                self._receive()

    def report(self, progress: ReportProgress) -> None:
        if not self._run.compensating:
            with _Interruptible(self, False), self._lock:
                self._next += 1
                self._mode.link.send(Do(self._run.number, self._next, progress))

    def enqueue(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Execution:
        called = Called(function, [CallItem(args, kwargs)], options, str, "leave")
        place = self.history.place(function, "call", by_main=self.by_main)
        return Execution(self.perform(detach(self.history, place, called))[0], self)

    # The questions of handles.
    def _ask(self, operation: str, execution_id: str, **body: Any) -> Any:
        return self._call(Ask, operation=operation, execution_id=execution_id, body=msgspec.json.encode(body))

    def result(self, execution_id: str, timeout: Any) -> Any:
        limit = None if timeout is None else seconds(timeout, "timeout")
        return self._ask("result", execution_id, timeout=limit)

    def state(self, execution_id: str) -> Any:
        return self._ask("state", execution_id)

    def cancel(self, execution_id: str, force: bool) -> None:
        self._ask("cancel", execution_id, force=force)

    def reschedule(self, execution_id: str, delay: Any) -> None:
        self._ask("reschedule", execution_id, delay=None if delay is None else seconds(delay, "delay"))

    def rerun(self, execution_id: str) -> Execution:
        return Execution(self._ask("rerun", execution_id), self)


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


class _Interruptible:
    """Sets whether a stop may interrupt, for a while; a stop that came meanwhile is raised at the end."""

    def __init__(self, attempt: SyncAttempt, value: bool) -> None:
        self._attempt = attempt
        self._value = value
        self._before = False

    def __enter__(self) -> None:
        self._before = self._attempt._interruptible
        self._attempt._interruptible = self._value

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._attempt._interruptible = self._before
        if (
            kind is None
            and self._attempt._stopping
            and self._before
            and threading.current_thread() is threading.main_thread()
        ):
            raise Stopped("The execution was cancelled.")
