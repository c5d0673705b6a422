"""What is known of one execution after some of its facts."""

from enum import StrEnum
from typing import Any

import msgspec
from immutables import Map
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.execution.facts import Child, Compensating, ErrorInfo, Link, MessageReceived, Progressed, Wait
from penstock.domain.execution.hooks import NO_HOOKS, Hooks
from penstock.domain.limits import losses_max

NOTHING: Map[str, Any] = Map()
"""Every empty map of a state is this one, so that it is left out when a state is written down."""


class State(StrEnum):
    """The states that users see."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    CANCELLING = "cancelling"


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.DISCARDED})


class Op(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one durable operation; see `durable.py` for key and position.

    `n` is the number of the fact that settled or last changed it, `at` its time. A step may be begun (`started`), have
    failed and be tried again (`failures`, `retry_at`), or be done, with a result or with an error. A call is done when
    all its children are, a wait when it is over.
    """

    kind: str
    n: int
    at: int
    position: int = 0
    done: bool = False
    outcome: str = ""
    result: Raw = Raw(b"null")
    result_ref: str | None = None
    error: ErrorInfo | None = None
    source: str = ""
    started: bool = False
    failures: int = 0
    retry_at: int | None = None
    children: list[str] = []
    detached: bool = False


class ChildState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A child execution as its parent knows it; `state` is empty until it has ended."""

    child: Child
    call: str
    on_cancel: str = "cancel"
    state: str = ""
    result: Raw = Raw(b"null")
    result_ref: str | None = None
    error: ErrorInfo | None = None


class Execution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution. Times are microseconds since the epoch; 0 or None where it has not happened.

    `activation` is the number of the run fact that made it runnable and is not yet closed, else 0. `owner` is the
    runner that started this activation, else "". `failures` counts failed attempts (the retry policy looks at it),
    `losses` lost ones, `losses_allowed` of which end it. `sequence` is the log position of its last fact.
    """

    id: str
    function: str
    n: int
    sequence: int = 0
    state: State
    attempt: int = 0
    created_at: int
    updated_at: int
    scheduled_at: int | None = None
    due_at: int = 0
    """When it was to start: at once, at the end of its delay, or at the time to which it was moved last."""
    started_at: int | None = None
    finished_at: int | None = None
    discard_at: int | None = None
    deadline_at: int | None = None
    activation: int = 0
    owner: str = ""
    failures: int = 0
    losses: int = 0
    losses_allowed: int = losses_max
    gated: bool = False
    priority: int = 0
    retries: int | None = None
    policy: str = ""
    timeout: int | None = None
    metadata: dict[str, str] = {}
    error: ErrorInfo | None = None
    trace_id: str
    parent_span: str | None = None
    tracestate: str = ""
    baggage: str = ""
    links: list[Link] = []
    event_id: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    rerun_of: str | None = None
    version: str = ""
    content_hash: str | None = None
    cancel_forced: bool = False
    ops: Map[str, Op] = NOTHING
    """Durable operations by key: stored results that replays read instead of computing again."""
    waits: dict[str, Wait] = {}
    """Open waits by key, in the order in which they were opened."""
    suspended: bool = False
    """True while it waits and holds no slot: only a wake-up goes on with it."""
    resuming: bool = False
    """True when the next start goes on with the present attempt instead of beginning another."""
    paused: bool = False
    compensating: Compensating | None = None
    undoable: Map[str, int] = NOTHING
    """Steps done that can be undone and are not, with the number of their facts."""
    children: Map[str, ChildState] = NOTHING
    """By execution id."""
    mailbox: dict[str, list[MessageReceived]] = {}
    """Messages that nobody has received yet, by channel."""
    messages: Map[str, int] = NOTHING
    """Ids of all messages ever received: each counts once."""
    progress: Progressed | None = None
    inherited_ref: str | None = None
    restarted_from: str | None = None
    leader: str = ""
    """The execution that it follows: it does not run itself, and ends as that one ends."""
    join_reason: str = ""
    index: int | None = None
    """Its place in the batch that it follows."""
    is_followed: bool = False
    hooks: Hooks = NO_HOOKS

    def without_operations(self) -> "Execution":
        """As much as readers need that run no code: what the user sees of its state, of bounded size."""
        if not (self.ops or self.waits or self.children or self.messages or self.mailbox):
            return self
        return replace(
            self, ops=NOTHING, waits={}, undoable=NOTHING, children=NOTHING, messages=NOTHING, mailbox={}
        )  # fmt: skip

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def has_started(self) -> bool:
        """True once an attempt has begun; before that it may be moved, cancelled at once, or discarded."""
        return self.attempt > 0

    @property
    def is_awaited(self) -> bool:
        """True if somebody acts on its end even when it succeeds: its parent, those who follow it, or a hook."""
        return self.parent_id is not None or self.is_followed or bool(self.hooks.on_success)

    @property
    def wakes_at(self) -> int | None:
        """When something is due without anybody asking: the end of a delay, of a backoff, or of the next open wait."""
        if self.state in (State.SCHEDULED, State.RETRYING):
            return self.scheduled_at
        if self.is_final or not self.waits:
            return None
        return min((wait.until for wait in self.waits.values() if wait.until is not None), default=None)

    @property
    def steps(self) -> dict[str, tuple[Raw, str | None]]:
        """Results of finished steps (value, reference to the object store) by name, in the order of their ends."""
        done = sorted((op.n, key) for key, op in self.ops.items() if op.kind == "step" and op.done and op.error is None)
        return {key: (self.ops[key].result, self.ops[key].result_ref) for _, key in done}

    def is_out_of_time(self, now: int) -> bool:
        """True once the time for the whole execution is over. What is being undone is undone to the end."""
        return self.deadline_at is not None and now >= self.deadline_at and not (self.is_final or self.compensating)

    def is_overdue(self, now: int) -> bool:
        """True once it may no longer start: `discard_at` has passed and no attempt has begun."""
        if self.discard_at is None or now < self.discard_at:
            return False
        # Whoever follows another shares its fate.
        return not (self.has_started or self.is_final or self.leader)
