"""Worker process for plain `def` functions: one attempt at a time, in the main thread."""

import io
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from penstock.client.execution import Execution
from penstock.domain.durations import seconds
from penstock.domain.function.options import CallOptions
from penstock.functions.actions import AnyAction, CallItem, ReportProgress
from penstock.functions.context import current_attempt
from penstock.functions.define import App
from penstock.functions.errors import Stopped
from penstock.functions.history import History
from penstock.functions.operations import Called, Operation, detach
from penstock.functions.sync_driver import SyncDriver
from penstock_runner.workers.attempt import history_of, opened, prepare, raised, returned
from penstock_runner.workers.current import enter_attempt, in_step
from penstock_runner.workers.lines import Writer, route_logging
from penstock_runner.workers.link import Link
from penstock_runner.workers.messages import Answer, Ask, Beat, Compensated, Do, Extend, Message, Outcomes, Run
from penstock_runner.workers.scratch import remove_tree, use_for_temporary_files


class SyncMode:
    """The process. SIGTERM asks the running function to stop, by an exception raised in it."""

    def __init__(self, link: Link, scratch: str, directory: str, *, limited: bool) -> None:
        self.link = link
        self.scratch = scratch
        self.directory = directory
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

    def wait(self) -> None:
        """Until there is a message, or the end of them."""
        if not self._inbox:
            self.link.wait()

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
            use_for_temporary_files(attempt.directory)
            function, args, kwargs = prepare(app, run, attempt, attempt.history)
            enter_attempt(run)
            if run.compensating:
                with attempt.interruptible():
                    attempt.compensate(function, args, kwargs)
                message = Compensated(run.number)
            else:
                with attempt.interruptible():
                    value = function(*args, **kwargs)
                attempt.history.check_end()
                message = returned(app, run, value, self.scratch)
        except BaseException as error:
            message = raised(run.number, error, limited=self.limited)
        finally:
            current_attempt.reset(token)
        self.attempt = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.link.send(message)
        remove_tree(str(attempt.directory))

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
        self._driver = SyncDriver(
            history_of(run), self._do, self._wait, compensating=run.compensating, in_step=partial(in_step, run)
        )
        self.directory = Path(mode.directory, str(run.number))
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
        return self._driver.history

    @property
    def by_main(self) -> bool:
        return self._driver.by_main

    def _call(self, kind: Callable[..., Message], **fields: Any) -> Any:
        with _Interruptible(self, False), self._lock:
            self._next += 1
            self._mode.link.send(kind(number=self._run.number, call=self._next, **fields))
            while True:
                answer = self._receive()
                if isinstance(answer, Answer) and answer.call == self._next:
                    break
        return opened(answer)

    def scratch(self) -> Path:
        return self.directory

    def heartbeat(self) -> None:
        self._tell(Beat(self._run.number))

    def extend(self, seconds: float) -> None:
        self._tell(Extend(self._run.number, seconds))

    def _tell(self, message: Message) -> None:
        with _Interruptible(self, False):
            self._mode.link.send(message)

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
        return self._driver.perform(operation)

    def compensate(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Undo what the function did."""
        self._driver.compensate(function, args, kwargs)

    def _do(self, action: AnyAction) -> Any:
        return self._call(Do, action=action)

    def _wait(self, keys: Sequence[str]) -> None:
        while not any(self.history.done(key) for key in keys):
            with _Interruptible(self, True):
                # Nothing is taken in here, so that a stop may interrupt it: that is how it is suspended.
                self._mode.wait()
            with _Interruptible(self, False), self._lock:
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

    def rerun(self, execution_id: str, from_step: str | None) -> Execution:
        return Execution(self._ask("rerun", execution_id, from_step=from_step), self)

    def resume(self, execution_id: str) -> None:
        self._ask("resume", execution_id)

    def message(self, execution_id: str, body: bytes, channel: str, message_id: str | None) -> Any:
        return self._ask("message", execution_id, body=msgspec.Raw(body), channel=channel, id=message_id)


class _Interruptible:
    """Sets whether a stop may interrupt, for a while; a stop that came meanwhile is raised at the end."""

    def __init__(self, attempt: SyncAttempt, value: bool) -> None:
        self._attempt = attempt
        self._value = value
        self._before = False

    def __enter__(self) -> None:
        self._before = self._attempt._interruptible
        self._attempt._interruptible = self._value
        if self._value and self._attempt._stopping:
            self._attempt._interruptible = self._before
            raise Stopped("The execution was cancelled.")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._attempt._interruptible = self._before
        if (
            kind is None
            and self._attempt._stopping
            and self._before
            and threading.current_thread() is threading.main_thread()
        ):
            raise Stopped("The execution was cancelled.")
