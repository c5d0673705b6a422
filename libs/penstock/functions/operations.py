"""How durable calls behave, whoever runs them: generators that say what is to be done and are told what came of it.

They yield `Invoke` (call user code; answered with its value or its exception), `Act` (have the runner do something;
answered with what it says), `Pause` (wait for the first of some operations) or `Recall` (what comes next is stored).
The async and the sync worker process and the test kit each drive them in their own way.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from penstock.client.errors import ExecutionFailed
from penstock.domain.execution.evolve_durable import UNDO
from penstock.domain.execution.retries import RetryPolicy
from penstock.domain.function.options import CallOptions
from penstock.functions import actions as a
from penstock.functions.errors import StepFailed, StepInterrupted, TokenRejected
from penstock.functions.event import Event, decode_event
from penstock.functions.failures import failure_of, mark
from penstock.functions.history import History, Place
from penstock.functions.returns import typed_value
from penstock.functions.values import to_json


class Invoke(NamedTuple):
    """Call user code as the `tried`-th try of a step; `timeout` is in seconds."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    step: str
    timeout: float | None
    tried: int


InStep = Callable[[str, int], Callable[[], object]]
"""Called with a step and the number of its try before user code runs in it; what it returns is called afterwards."""


def unseen(step: str, tried: int) -> Callable[[], object]:
    """Nobody looks on."""
    return int


class Act(NamedTuple):
    """Have the runner do this."""

    action: a.AnyAction


class Pause(NamedTuple):
    """Wait until one of these is over."""

    waits: Sequence[a.WaitFor]


class Recall(NamedTuple):
    """Wait until all that was over before number `n`, and that the code has come to, has gone on.

    Stored results are there at once, but code that does several things side by side shall see them end in the order in
    which they ended.
    """

    n: int


Operation = Generator[Invoke | Act | Pause | Recall, Any, Any]


class StepOptions(NamedTuple):
    """`policy` None: a failure of the step is a failure of the attempt."""

    policy: RetryPolicy | None = None
    timeout: float | None = None
    at_most_once: bool = False
    undo: Callable[..., Any] | None = None


class First(NamedTuple):
    """Which of several waits was over first (0 for the first one given), and what it gave."""

    which: int
    value: Any


class Token(NamedTuple):
    """What somebody outside needs to end a wait: the address to post to, or the token alone."""

    id: str
    url: str
    key: str


def step(
    history: History, place: Place, function: Callable[..., Any], args: Any, kwargs: Any, options: StepOptions
) -> Operation:
    """Run the function once, and never again after its result is stored."""
    key, position = place
    known = history.outcomes.get(key)
    if known is not None and known.done:
        yield Recall(known.n)
        return _stored(history, key, function, options)
    if known is not None and known.started and options.at_most_once:
        raise StepInterrupted(key)
    failures, retry_at = (known.failures, known.retry_at) if known is not None else (0, None)
    while True:
        if retry_at is not None:
            yield from _wait(history, a.WaitFor(key=f"{key}~{failures}", wait="sleep", until=retry_at))
        if options.at_most_once:
            yield Act(a.BeginStep(key, position))
        started_at = history.clock()
        try:
            value = yield Invoke(function, args, kwargs, key, options.timeout, failures + 1)
            data = b"null" if value is None else to_json(value)
        except Exception as error:
            if options.policy is None:
                mark(error, key, started_at)
                raise
            retry_at = yield Act(_failed(place, started_at, options.policy, error))
            if retry_at is None:
                failure = failure_of(error)
                raise StepFailed(key, failure.code, failure.type, failure.message, failure.stack) from error
            failures += 1
            continue
        at = yield Act(a.CompleteStep(key, position, started_at, data, options.undo is not None))
        history.outcomes[key] = a.Outcome("step", 0, at, position, True, "completed", data)
        return _stored(history, key, function, options)


def _stored(history: History, key: str, function: Callable[..., Any], options: StepOptions) -> Any:
    known = history.done(key)
    assert known is not None
    if known.code:
        raise StepFailed(key, known.code, known.type, known.message, known.stack)
    value = typed_value(function, known.value)
    if options.undo is not None:
        history.undos[key] = (options.undo, value)
    return value


def _failed(place: Place, started_at: int, policy: RetryPolicy, error: Exception) -> a.FailStep:
    failure = failure_of(error)
    return a.FailStep(
        place.key, place.position, started_at, msgspec.json.encode(policy), failure.code, failure.type,
        failure.message, failure.stack, failure.terminal, failure.retry_after,
    )  # fmt: skip


def undo(history: History) -> Operation:
    """Undo what was done, the newest first; each undoing is a step of its own."""
    keys = sorted(history.undos, key=lambda key: history.outcomes[key].n or history.outcomes[key].at, reverse=True)
    for key in keys:
        function, value = history.undos[key]
        yield from step(history, Place(key + UNDO, 0), function, (value,), {}, StepOptions())


def sleep(history: History, place: Place, until: int) -> Operation:
    """Wait for a time (microseconds)."""
    yield from _wait(history, a.WaitFor(place.key, "sleep", place.position, until))


def event(history: History, wait: a.WaitFor) -> Operation:
    """The event, or None when the wait timed out."""
    return event_value((yield from _wait(history, wait)))


def event_value(known: a.Outcome) -> Event | None:
    return decode_event(known.value) if known.outcome == "event" else None


def plain(history: History, wait: a.WaitFor) -> Operation:
    """The value that a message or a token brought, or None when the wait timed out. Raises TokenRejected."""
    return plain_value((yield from _wait(history, wait)))


def plain_value(known: a.Outcome) -> Any:
    if known.outcome == "rejected":
        raise TokenRejected(known.message)
    return msgspec.json.decode(known.value) if known.outcome in ("completed", "message") else None


def token(history: History, key: str) -> Operation:
    """The token for a wait; always the same for the same wait."""
    made = yield Act(a.MakeToken(key))
    return Token(made["id"], made["url"], key)


def _wait(history: History, wait: a.WaitFor) -> Operation:
    known = history.outcomes.get(wait.key)
    yield Recall(known.n) if known is not None and known.done else Pause([wait])
    known = history.done(wait.key)
    assert known is not None
    return known


class Called(NamedTuple):
    """Children to be made: of which function, with which arguments, and what reads their results."""

    function: str
    items: Sequence[a.CallItem]
    options: CallOptions
    reads: Callable[..., Any]
    on_cancel: Any = "cancel"


def call(history: History, place: Place, called: Called, *, as_list: bool, keep_errors: bool = False) -> Operation:
    """Results of child executions, waiting for all of them. Raises ExecutionFailed for the first that failed."""
    known = history.outcomes.get(place.key)
    if known is not None and known.done:
        yield Recall(known.n)
    else:
        yield Act(_call_action(place, called, detached=False))
        yield Pause([children_wait(place, called)])
    known = history.done(place.key)
    assert known is not None
    return call_value(known, called, as_list=as_list, keep_errors=keep_errors)


def call_value(known: a.Outcome, called: Called, *, as_list: bool, keep_errors: bool = False) -> Any:
    values = [_child_value(child, called.reads) for child in known.children]
    if not keep_errors:
        for value in values:
            if isinstance(value, ExecutionFailed):
                raise value
    return values if as_list else values[0]


def start_call(history: History, place: Place, called: Called) -> Operation:
    """Make the children of a call without waiting for them yet."""
    if history.done(place.key) is None:
        yield Act(_call_action(place, called, detached=False))


def children_wait(place: Place, called: Called, group: str = "") -> a.WaitFor:
    return a.WaitFor(place.key, "children", place.position, group=group, name=called.function)


def detach(history: History, place: Place, called: Called) -> Operation:
    """Ids of child executions that nobody waits for."""
    known = history.done(place.key)
    if known is not None:
        return [child.id for child in known.children]
    return (yield Act(_call_action(place, called, detached=True)))


def _call_action(place: Place, called: Called, *, detached: bool) -> a.CallChildren:
    return a.CallChildren(
        place.key, place.position, called.function, list(called.items), msgspec.json.encode(called.options), detached,
        called.on_cancel,
    )  # fmt: skip


def _child_value(child: a.ChildEnd, function: Callable[..., Any]) -> Any:
    if child.state == "succeeded":
        return typed_value(function, child.value)
    return ExecutionFailed(child.id, child.state, child.code, child.type, child.message, child.stack)


class Alternative(NamedTuple):
    """One of several waits: what opens it, and what its outcome means."""

    wait: a.WaitFor
    value: Callable[[a.Outcome], Any]
    called: Called | None = None


def first_of(history: History, group: str, alternatives: Sequence[Alternative]) -> Operation:
    """The first that is over; the others are given up, and their children cancelled."""
    for one in alternatives:
        if one.called is not None:
            yield from start_call(history, Place(one.wait.key, one.wait.position), one.called)
    ended = [known.n for one in alternatives if (known := history.outcomes.get(one.wait.key)) and known.done]
    yield Recall(min(ended)) if ended else Pause([one.wait for one in alternatives])
    over = [(known.n, index) for index, one in enumerate(alternatives) if (known := history.done(one.wait.key))]
    which = min(over)[1]
    losers = [one.wait.key for at, one in enumerate(alternatives) if one.called is not None and at != which]
    if losers and history.done(f"{group}~losers") is None:
        yield Act(a.CancelChildren(f"{group}~losers", losers))
    winner = alternatives[which]
    return First(which, winner.value(history.outcomes[winner.wait.key]))


def instant(at: datetime) -> int:
    """Microseconds since the epoch. Raises ValueError for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError("A time needs a zone: datetime.now(UTC) + ..., not datetime.now().")
    return round(at.astimezone(UTC).timestamp() * 1_000_000)
