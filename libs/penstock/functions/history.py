"""What earlier attempts of an execution left behind, and the check that the code still does what it did then."""

import random
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from penstock.client.errors import ExecutionFailed
from penstock.domain.errors import Rejected
from penstock.domain.limits import step_name_chars_max
from penstock.functions.actions import Outcome
from penstock.functions.errors import Diverged, StepFailed, TokenRejected

RESERVED = "#~"
"""Characters that keys of operations use themselves."""

STORED = (StepFailed, ExecutionFailed, TokenRejected)
"""Errors that every replay raises again."""


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class Place(NamedTuple):
    """The key of an operation, and its number among those called by the function's own task.

    The number is 0 for those called by another task, or behind an error that the next attempt may not meet.
    """

    key: str
    position: int


class History:
    """The operations of one attempt: those known already, and the names that this attempt has used so far."""

    def __init__(
        self, execution_id: str, outcomes: dict[str, Outcome], started_at: int, clock: Callable[[], int] = now_us
    ) -> None:
        self.execution_id = execution_id
        self.clock = clock
        """The real time (microseconds); the code sees only `now`."""
        self.outcomes = outcomes
        self.now = started_at
        """The deterministic clock (microseconds): when the newest operation ended that the code has seen."""
        self.undos: dict[str, tuple[Callable[..., Any], Any]] = {}
        """Step -> what undoes it, and the step's result."""
        self._names: dict[str, int] = {}
        self._position = 0
        self._is_stray = False
        self._recorded: dict[int, str] = {}
        self._done_before = 0
        if outcomes:
            self._recorded = {one.position: key for key, one in outcomes.items() if one.position}
            self._done_before = max((one.position for one in outcomes.values() if one.done), default=0)

    @cached_property
    def random(self) -> random.Random:
        """Chance that is the same on every replay."""
        return random.Random(self.execution_id)  # noqa: S311 - it has to be predictable

    @property
    def is_replaying(self) -> bool:
        """Whether operations are ahead that earlier attempts, or this one before it waited, have done already."""
        return self._position < self._done_before

    def place(self, name: str, kind: str, *, by_main: bool) -> Place:
        """The place of the next operation of this name. Raises Diverged when another stood here in earlier attempts."""
        count = self._names.get(name, 0) + 1
        self._names[name] = count
        return self.fixed(name if count == 1 else f"{name}#{count}", kind, by_main=by_main)

    def fixed(self, key: str, kind: str, *, by_main: bool) -> Place:
        """The same for an operation whose key is not numbered."""
        position = 0
        if by_main and not self._is_stray:
            self._position += 1
            position = self._position
            expected = self._recorded.get(position)
            if expected is not None and expected != key:
                raise Diverged(position, expected, key)
        known = self.outcomes.get(key)
        if known is not None and known.kind != kind:
            raise Diverged(position, f"{key} ({known.kind})", f"{key} ({kind})")
        return Place(key, position)

    def failed(self, error: BaseException) -> None:
        """An operation raised this. What is not stored may be otherwise on the next attempt, and all behind it."""
        if not isinstance(error, STORED):
            self.stray()

    def stray(self) -> None:
        """From here on other attempts may do something else: nothing is compared with what they did."""
        self._is_stray = True

    def done(self, key: str) -> Outcome | None:
        """The outcome of the operation if it is over; the clock moves on to when that was."""
        known = self.outcomes.get(key)
        if known is None or not known.done:
            return None
        self.now = max(self.now, known.at)
        return known

    def check_end(self) -> None:
        """The code has ended well. Raises Diverged when earlier attempts had got further than it."""
        beyond = [position for position in self._recorded if position > self._position]
        if beyond:
            raise Diverged(min(beyond), self._recorded[min(beyond)], "the end of the function")


def checked_name(name: Any, what: str) -> str:
    """The name, if it can be one. Raises Rejected `invalid_name`."""
    fits = isinstance(name, str) and 1 <= len(name) <= step_name_chars_max and not set(RESERVED) & set(name)
    if not fits:
        raise Rejected(
            "invalid_name",
            f"The name of a {what} has 1 to {step_name_chars_max} characters without '#' and '~', not {name!r:.80}.",
        )
    return str(name)
