"""What is known of one execution after some of its facts."""

from enum import StrEnum

import msgspec
from msgspec import Raw

from penstock.domain.execution.facts import ErrorInfo, Link


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


class Execution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One execution. Times are microseconds since the epoch; 0 or None where it has not happened.

    `activation` is the number of the run fact that made it runnable and is not yet closed, else 0. `owner` is the
    runner that started this activation, else "". `failures` counts failed attempts (the retry policy looks at it),
    `losses` lost ones. `sequence` is the log position of its last fact.
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
    started_at: int | None = None
    finished_at: int | None = None
    discard_at: int | None = None
    activation: int = 0
    owner: str = ""
    failures: int = 0
    losses: int = 0
    gated: bool = False
    priority: int = 0
    retries: int | None = None
    timeout: int | None = None
    metadata: dict[str, str] = {}
    error: ErrorInfo | None = None
    trace_id: str
    parent_span: str | None = None
    links: list[Link] = []
    event_id: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    rerun_of: str | None = None
    version: str = ""
    content_hash: str | None = None
    cancel_forced: bool = False
    steps: dict[str, tuple[Raw, str | None]] = {}
    """Step name -> (result, reference to the object store)."""

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def has_started(self) -> bool:
        """True once an attempt has begun; before that it may be moved, cancelled at once, or discarded."""
        return self.attempt > 0

    @property
    def wakes_at(self) -> int | None:
        """When something is due without anybody asking: the end of a delay or of a retry's backoff."""
        return self.scheduled_at if self.state in (State.SCHEDULED, State.RETRYING) else None

    def is_overdue(self, now: int) -> bool:
        """True once it may no longer start: `discard_at` has passed and no attempt has begun."""
        return self.discard_at is not None and now >= self.discard_at and not (self.has_started or self.is_final)
