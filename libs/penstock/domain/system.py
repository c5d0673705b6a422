"""Facts about the system rather than about one execution, on subjects `penstock.<env>.c.<kind>.<key>`."""

import msgspec

from penstock.domain.function.options import FunctionSpec
from penstock.domain.notify.notice import Notice


class SystemFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """The part that all share; `at` is microseconds since the epoch."""

    at: int
    id: str = ""
    v: int = 1


class EventFannedOut(SystemFact, frozen=True, kw_only=True, tag="event_fanned_out"):
    """An event was turned into executions; an empty list means that it matched nothing.

    `sequence` is the event's position in EVENTS. `refused` holds (function, code, detail) for functions that it could
    not start.
    """

    sequence: int
    event_id: str
    name: str
    source: str = ""
    executions: list[tuple[str, str]] = []
    """(function, execution id)"""
    refused: list[tuple[str, str, str]] = []
    received_at: int = 0
    trace_id: str | None = None


class EventRejected(SystemFact, frozen=True, kw_only=True, tag="event_rejected"):
    """A message in EVENTS that could not be accepted, with the code of the catalogue and the sentence."""

    sequence: int
    subject: str
    code: str
    detail: str
    excerpt: str = ""
    """The first 512 characters of what was sent."""
    received_at: int = 0


class FunctionDeclared(SystemFact, frozen=True, kw_only=True, tag="function_declared"):
    """A runner declared a function, or declared it anew with other options."""

    spec: FunctionSpec
    runner: str


class LimitChanged(SystemFact, frozen=True, kw_only=True, tag="limit_changed"):
    """Somebody set a limit while everything runs. `limit` None: back to what the functions declare, or to none.

    `target` is `environment`, `function:<name>`, `limit:<name>`, `throttle:<function>` or `rate_limit:<function>`.
    """

    target: str
    limit: int | None = None
    author: str


class Paused(SystemFact, frozen=True, kw_only=True, tag="paused"):
    """Nothing more of it starts; everything is kept. Both names empty: the whole environment."""

    function: str = ""
    key: str = ""
    """Only executions of the function with this concurrency key."""
    author: str


class Resumed(SystemFact, frozen=True, kw_only=True, tag="resumed"):
    """The end of a pause with the same names."""

    function: str = ""
    key: str = ""
    author: str


class AdmissionDecided(SystemFact, frozen=True, kw_only=True, tag="admission_decided"):
    """The head of an admission batch, on its lane: the `count` facts behind it were decided together.

    It rests on the log up to `seen` and the time `at` and on nothing else, so that the decision can be made again.
    """

    seen: int
    count: int
    leader: str


class NotificationDue(SystemFact, frozen=True, kw_only=True, tag="notification_due"):
    """A rule has something to say to a channel. The first fact of a delivery."""

    channel: str
    notice: Notice


class NotificationSent(SystemFact, frozen=True, kw_only=True, tag="notification_sent"):
    """The channel took it. `receipt` is what the channel needs to change the message later."""

    detail: str = ""
    receipt: dict[str, str] = {}


class NotificationFailed(SystemFact, frozen=True, kw_only=True, tag="notification_failed"):
    """A try failed. `next_at` None: it is not tried again (dead)."""

    detail: str
    next_at: int | None = None


class NotificationReplayed(SystemFact, frozen=True, kw_only=True, tag="notification_replayed"):
    """Somebody wants it delivered once more, now."""

    author: str


class ChannelDisabled(SystemFact, frozen=True, kw_only=True, tag="channel_disabled"):
    """The receiver wants nothing more: nothing is sent there until somebody enables the channel."""

    channel: str
    reason: str


class ChannelEnabled(SystemFact, frozen=True, kw_only=True, tag="channel_enabled"):
    """The end of that."""

    channel: str
    author: str


AnySystemFact = (
    EventFannedOut
    | EventRejected
    | FunctionDeclared
    | LimitChanged
    | Paused
    | Resumed
    | AdmissionDecided
    | NotificationDue
    | NotificationSent
    | NotificationFailed
    | NotificationReplayed
    | ChannelDisabled
    | ChannelEnabled
)
