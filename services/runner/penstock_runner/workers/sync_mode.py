"""Worker process for plain `def` functions: one attempt at a time, in the main thread."""

import io
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.client.execution import Execution
from penstock.domain.durations import seconds
from penstock.domain.function.options import CallOptions
from penstock.functions.context import current_attempt
from penstock.functions.define import App
from penstock.functions.errors import Stopped
from penstock.functions.values import to_json
from penstock_runner.workers.attempt import enter_span, now, opened, plain, prepare, returned, step_value
from penstock_runner.workers.describe import raised
from penstock_runner.workers.lines import Writer, route_logging
from penstock_runner.workers.link import Link
from penstock_runner.workers.messages import Answer, Ask, Enqueue, Message, Run, StepDone


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
            function, args, kwargs = prepare(app, run, attempt)
            enter_span(run)
            with attempt.interruptible():
                value = function(*args, **kwargs)
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
        self.writer = Writer(mode.link, run.number)

    def interruptible(self) -> "_Interruptible":
        """While user code runs, and only then, may a stop interrupt it: never our own sending and receiving."""
        return _Interruptible(self, True)

    def stop(self) -> None:
        self._stopping = True
        if self._interruptible:
            raise Stopped("The execution was cancelled.")

    def _call(self, kind: Callable[..., Message], **fields: Any) -> Any:
        with _Interruptible(self, False), self._lock:
            self._next += 1
            self._mode.link.send(kind(number=self._run.number, call=self._next, **fields))
            while True:
                answer = self._mode.next()
                if answer is None:
                    raise Stopped("The runner is gone.")
                if isinstance(answer, Answer) and answer.number == self._run.number and answer.call == self._next:
                    break
        return opened(answer)

    def step(self, key: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        function = plain(function)
        stored = self._run.steps.get(key)
        if stored is not None:
            return step_value(function, stored)
        started_at = now()
        value = function(*args, **kwargs)
        result = b"null" if value is None else to_json(value)
        self._call(StepDone, step=key, started_at=started_at, result=result)
        return step_value(function, result)

    def enqueue(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Execution:
        encoded = msgspec.json.encode(options)
        return Execution(self._call(Enqueue, function=function, args=args, kwargs=kwargs, options=encoded), self)

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
