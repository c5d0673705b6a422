"""What rules see of a fact: the few fields that any of them looks at."""

import msgspec

from penstock.domain.execution.facts import ErrorInfo

OUTCOMES = ("failed", "cancelled", "discarded", "succeeded", "retrying", "paused")
"""What an outcome rule may be about.

`retrying` is an attempt that failed and will be tried again, `paused` one after which somebody has to mend something.
"""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of an execution, or of a schedule (then `schedule` is its key)."""

    sequence: int
    kind: str
    at: int
    n: int = 0
    execution_id: str = ""
    function: str = ""
    schedule: str = ""
    attempt: int = 0
    error: ErrorInfo | None = None
    waits: bool = False
    """`enqueued`: not runnable at once, since its time has not come."""
    wakes: bool = False
    """`woken`, `child_completed`: it was suspended and is runnable now."""
    reason: str = ""
    leader: str = ""
    """Of a final fact: the execution whose end it repeats, since this one followed it."""
    wakes_at: int | None = None
    metadata: dict[str, str] | None = None
    """Of the execution; None unless a rule asked for it."""

    @property
    def outcome(self) -> str:
        """The outcome that this fact is, or nothing."""
        if self.kind == "retry_scheduled":
            return "retrying"
        return self.kind if self.kind in OUTCOMES else ""


def outcome_error(seen: Seen) -> ErrorInfo | None:
    """The error of an outcome; those that nobody raised have a code too."""
    if seen.kind == "cancelled":
        return ErrorInfo(code="cancelled", message="The execution was cancelled.")
    if seen.kind == "discarded":
        return ErrorInfo(code="discarded", message=seen.reason or "The execution was not started in time.")
    return seen.error
