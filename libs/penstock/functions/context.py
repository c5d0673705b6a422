"""What a running attempt knows and may do: its identity, its logger, its steps, waits and children."""

import logging
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.function.options import CallOptions
from penstock.domain.ids import content_hash, is_event_name
from penstock.functions import operations as o
from penstock.functions import waits as w
from penstock.functions.actions import CallItem, ReportProgress, WaitFor
from penstock.functions.backoff import Backoff, step_policy
from penstock.functions.history import History, Place, checked_name
from penstock.functions.surroundings import Surroundings, SurroundingsPort
from penstock.functions.values import to_json

Duration = str | float | timedelta


class AttemptPort(SurroundingsPort, Protocol):
    """What the worker process offers to the attempt it runs.

    For an `async def` function each of these answers with an awaitable, for a plain `def` with the value itself.
    """

    def perform(self, operation: o.Operation) -> Any:
        """Drive the operation to its end and answer with its value."""

    def report(self, progress: ReportProgress) -> None:
        """Pass it on; nobody waits for it."""

    def enqueue(self, function: str, args: bytes, kwargs: bytes, options: CallOptions) -> Any:
        """The handle of a new execution whose parent is this one."""

    @property
    def by_main(self) -> bool:
        """Whether the function's own task (or thread) is calling, and not one that it started."""


class Context(Surroundings):
    """Declared as a parameter, it is filled in by the worker process. Fields do not change during an attempt.

    In an `async def` function await what the methods answer with; in a plain `def` it is the value itself.
    """

    __slots__ = (
        "_logger",
        "_port",
        "attempt",
        "execution_id",
        "function",
        "history",
        "metadata",
        "parent_id",
        "root_id",
        "trace_id",
    )

    def __init__(
        self,
        port: AttemptPort,
        *,
        execution_id: str,
        attempt: int,
        function: str,
        metadata: dict[str, str],
        history: History,
        parent_id: str | None = None,
        root_id: str | None = None,
        trace_id: str = "",
    ) -> None:
        super().__init__(port)
        self._port = port
        self._logger: logging.Logger | None = None
        self.history = history
        self.execution_id = execution_id
        self.attempt = attempt
        self.function = function
        self.metadata = metadata
        self.parent_id = parent_id
        self.root_id = root_id or execution_id
        self.trace_id = trace_id

    @property
    def logger(self) -> logging.Logger:
        """A standard logger; its lines are kept with the attempt."""
        if self._logger is None:
            self._logger = logging.getLogger(f"penstock.function.{self.function}")
        return self._logger

    # Steps.
    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        retry: int | Backoff | None = None,
        backoff: Backoff | None = None,
        timeout: Duration | None = None,
        at_most_once: bool = False,
        undo: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call `function` once and keep its result: later attempts get the stored result instead of calling again.

        The same name used again in one attempt is numbered `name#2`, `name#3`, ... in the order of the calls, so a
        loop may use one name. The result passes through JSON, on the first attempt as on later ones.

        With `retry` (a number, with or without `backoff`, or a backoff alone: three times) the step is tried again by
        itself and raises StepFailed in the end, stored as a result is; without, its failure is a failure of the
        attempt. `at_most_once` raises StepInterrupted rather than run a step that an attempt began and did not finish;
        an error of the step is stored, as with `retry=0`.
        `undo` is called with the result if the execution fails or is cancelled later.
        """
        if backoff is not None and retry is None:
            raise Rejected("invalid_option", f"Step {name!r} has a backoff but no `retry`.")
        if at_most_once and retry:
            raise Rejected("invalid_option", f"Step {name!r} cannot both be retried and run at most once.")
        if at_most_once:
            retry = 0
        options = o.StepOptions(
            None if retry is None else step_policy(retry, backoff, f"step {name!r}"),
            None if timeout is None else seconds(timeout, "timeout"),
            at_most_once,
            undo,
        )
        place = self._place(checked_name(name, "step"), "step")
        return self._port.perform(o.step(self.history, place, function, args, kwargs, options))

    @property
    def step_key(self) -> str:
        """Inside a step: a key that is the same each time this step is tried, for services that take one."""
        current = current_step.get()
        if current is None:
            raise Rejected("invalid_option", "ctx.step_key has a value only inside a function called by ctx.step.")
        return content_hash(f"{self.execution_id}/{current}".encode())

    # Waits.
    def sleep(self, duration: Duration) -> Any:
        """Wait so long, for years if need be, holding no slot."""
        return self._port.perform(o.sleep(self.history, self._place("sleep", "wait"), self._after(duration)))

    def sleep_until(self, time: datetime) -> Any:
        """Wait until this time, which needs a zone. A time in the past is no wait."""
        return self._port.perform(o.sleep(self.history, self._place("sleep", "wait"), o.instant(time)))

    def wait_for_event(
        self,
        name: str,
        match: Mapping[str, Any] | None = None,
        timeout: Duration | None = None,
        look_back: Duration = 0,
    ) -> Any:
        """The next event of this name whose data has these values (by dotted path); None when it timed out.

        Events count that came since this attempt became runnable or was last woken; `look_back` reaches further back.
        """
        place = self._place(_event_name(name), "wait")
        wait = _event_wait(w.EventWait(name, match, look_back), place, self._until(timeout))
        return self._port.perform(o.event(self.history, wait))

    def create_token(self, name: str = "token") -> Any:
        """A Token (`id`, `url`): whoever posts to its address ends the wait for it. The same name is the same token."""
        return self._port.perform(o.token(self.history, f"token~{checked_name(name, 'token')}"))

    def wait_for_token(self, token: o.Token, timeout: Duration | None = None) -> Any:
        """The value that somebody completed it with, also earlier; None when it timed out. Raises TokenRejected."""
        place = self.history.fixed(token.key, "wait", by_main=self._port.by_main)
        return self._port.perform(
            o.plain(self.history, WaitFor(*place[:1], "token", place.position, self._until(timeout)))
        )

    def receive(self, channel: str = "default", timeout: Duration | None = None) -> Any:
        """The next message sent to this execution on the channel; None when it timed out."""
        place = self._place(f"receive~{checked_name(channel, 'channel')}", "wait")
        wait = WaitFor(place.key, "message", place.position, self._until(timeout), name=channel)
        return self._port.perform(o.plain(self.history, wait))

    def wait_for_any(self, *waits: w.AnyWait, timeout: Duration | None = None) -> Any:
        """The first of several (`from penstock import wait`: wait.event("a.b"), wait.sleep("1h"), wait.call(f)).

        Answers with First(which, value). The others are given up and their children cancelled. With `timeout`, `which`
        is -1 when nothing came in time.
        """
        if not waits:
            raise Rejected("invalid_option", "ctx.wait_for_any needs something to wait for.")
        group = self._place("any", "wait").key
        alternatives = [self._alternative(one, group) for one in waits]
        if timeout is not None:
            alternatives.append(self._alternative(w.Sleep(timeout), group))
        return self._port.perform(_first(self.history, group, alternatives, timed=timeout is not None))

    def _alternative(self, one: w.AnyWait, group: str) -> o.Alternative:
        match one:
            case w.Sleep():
                place = self._place("sleep", "wait")
                return o.Alternative(
                    WaitFor(place.key, "sleep", place.position, self._after(one.duration), group), lambda _: None
                )
            case w.SleepUntil():
                place = self._place("sleep", "wait")
                until = o.instant(one.time)
                return o.Alternative(WaitFor(place.key, "sleep", place.position, until, group), lambda _: None)
            case w.EventWait():
                place = self._place(_event_name(one.name), "wait")
                return o.Alternative(_event_wait(one, place, None, group), o.event_value)
            case w.TokenWait():
                place = self.history.fixed(one.token.key, "wait", by_main=self._port.by_main)
                return o.Alternative(WaitFor(place.key, "token", place.position, None, group), o.plain_value)
            case w.MessageWait():
                place = self._place(f"receive~{checked_name(one.channel, 'channel')}", "wait")
                wait = WaitFor(place.key, "message", place.position, None, group, one.channel)
                return o.Alternative(wait, o.plain_value)
            case w.Call():
                called = _called(one.function, [_item(one.function, one.args, one.kwargs)], "cancel")
                place = self._place(called.function, "call")
                return o.Alternative(
                    o.children_wait(place, called, group),
                    lambda known: o.call_value(known, called, as_list=False),
                    called,
                )
            case _:
                raise Rejected("invalid_option", f"{one!r:.80} is no wait; make one by `from penstock import wait`.")

    # Children.
    def call(
        self, function: Any, /, *args: Any, on_cancel: Literal["cancel", "leave"] = "cancel", **kwargs: Any
    ) -> Any:
        """Run a function as a child execution and wait for its result. Raises ExecutionFailed when it has none.

        `function` may carry options (`f.options(retries=5)`) or be a name. `on_cancel` says what becomes of the child
        when this execution is cancelled or fails.
        """
        called = _called(function, [_item(function, args, kwargs)], on_cancel)
        place = self._place(called.function, "call")
        return self._port.perform(o.call(self.history, place, called, as_list=False))

    def call_many(
        self,
        function: Any,
        items: Sequence[Any],
        /,
        *,
        return_exceptions: bool = False,
        on_cancel: Literal["cancel", "leave"] = "cancel",
    ) -> Any:
        """Run a function once for each item, side by side, and wait for all results, in the order of the items.

        An item that is a tuple holds arguments, one that is a dict keyword arguments, any other is the only argument.
        With `return_exceptions` the errors stand in the list instead of being raised.
        """
        called = _called(function, [_item(function, *_spread(item)) for item in items], on_cancel)
        place = self._place(called.function, "call")
        return self._port.perform(
            o.call(self.history, place, called, as_list=True, keep_errors=return_exceptions) if items else _nothing()
        )

    # To and from outside.
    def progress(self, done: float, total: float | None = None, note: str = "") -> "Sent":
        """Say how far it is; shown live. Of many reports within a second the last one counts. No need to await it."""
        if not self.history.is_replaying:
            self._port.report(ReportProgress(float(done), None if total is None else float(total), str(note)[:512]))
        return Sent()

    # What is the same on every replay.
    def now(self) -> datetime:
        """The time, the same on every replay: when the newest step or wait ended that the code has seen."""
        return datetime.fromtimestamp(self.history.now / 1_000_000, UTC)

    def random(self) -> float:
        """A number in [0, 1), the same on every replay."""
        return self.history.random.random()

    def uuid(self) -> uuid.UUID:
        """A UUID (version 4 in form), the same on every replay."""
        return uuid.UUID(int=self.history.random.getrandbits(128), version=4)

    def _after(self, duration: Duration) -> int:
        return self.history.clock() + round(seconds(duration, "duration") * 1_000_000)

    def _until(self, timeout: Duration | None) -> int | None:
        return None if timeout is None else self.history.clock() + round(seconds(timeout, "timeout") * 1_000_000)

    def _place(self, name: str, kind: str) -> Place:
        return self.history.place(name, kind, by_main=self._port.by_main)


class Sent:
    """Something on its way. Awaiting it does nothing."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return None
        yield  # pragma: no cover - makes this a generator, as awaiting demands


def _event_name(name: str) -> str:
    if not isinstance(name, str) or not is_event_name(name):
        raise Rejected("invalid_name", f"{name!r:.80} is no event name ('order.paid').")
    return name


def _event_wait(one: w.EventWait, place: Place, until: int | None, group: str = "") -> WaitFor:
    for path in one.match or {}:
        if not isinstance(path, str) or not path:
            raise Rejected(
                "invalid_option", f"match takes dotted paths of event.data, such as 'user.id', not {path!r}."
            )
    match = to_json(dict(one.match or {}))
    look_back = seconds(one.look_back, "look_back")
    return WaitFor(place.key, "event", place.position, until, group, one.name, match, look_back)


def _called(function: Any, items: Sequence[CallItem], on_cancel: str) -> o.Called:
    if on_cancel not in ("cancel", "leave"):
        raise Rejected("invalid_option", f"on_cancel is 'cancel' or 'leave', not {on_cancel!r:.80}.")
    if isinstance(function, str):
        return o.Called(function, items, CallOptions(), _unread, on_cancel)
    target = getattr(function, "call_target", None)
    if target is None:
        raise Rejected("invalid_option", f"{function!r:.80} is no function of an app; declare it by @app.function.")
    name, options, reads = target()
    return o.Called(name, items, options, reads, on_cancel)


def _unread(value: Any) -> Any:
    """Stands for a function that is known by name only: its results are JSON types."""
    return value


def _item(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CallItem:
    json_args, json_kwargs = to_json(list(args)), to_json(dict(kwargs))
    check = getattr(function, "check_arguments", None)
    if check is not None:
        check(json_args, json_kwargs)
    return CallItem(json_args, json_kwargs)


def _spread(item: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(item, tuple):
        return item, {}
    return ((), item) if isinstance(item, dict) else ((item,), {})


def _nothing() -> o.Operation:
    return []
    yield  # pragma: no cover - makes this a generator, as operations are


def _first(history: History, group: str, alternatives: list[o.Alternative], *, timed: bool) -> o.Operation:
    first = yield from o.first_of(history, group, alternatives)
    if timed and first.which == len(alternatives) - 1:
        return o.First(-1, None)
    return first


current_attempt: ContextVar[AttemptPort | None] = ContextVar("penstock_attempt", default=None)
"""The attempt whose code is running, in a worker process; None anywhere else."""

current_step: ContextVar[str | None] = ContextVar("penstock_step", default=None)
"""The step whose function is running."""
