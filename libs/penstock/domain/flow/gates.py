"""One limit for one value of its key: who holds its slots, and the lines of executions that it blocks."""

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.domain.flow.lines import Line

ANY_TIME = 2**62
"""As the time of a question: a window has room."""

_NEVER: deque[int] = deque(maxlen=0)
"""For gates through which nothing has passed. An empty deque takes 600 bytes, and there may be a gate for each key."""

Order = tuple[int, int, int]
"""Turn, rank and arrival: what comes first is smallest. No two executions have the same."""


class Rule:
    """A limit as it is now: what was declared, and what somebody set instead while everything runs."""

    __slots__ = ("changed", "declared", "label", "period", "target")

    def __init__(self, target: str, label: str) -> None:
        self.target = target
        self.label = label
        self.declared: int | None = None
        self.changed: int | None = None
        self.period = 0
        """Microseconds; 0 for slots."""

    @property
    def n(self) -> int | None:
        """The number that counts; None: no limit."""
        return self.declared if self.changed is None else self.changed


class Gate:
    """The limit `rule` for the key `key`.

    `holders` are the executions with a slot, in order of admission. `recent` are the last admissions (µs) of a window.
    `waiting` are the executions that ask for a slot, in order of arrival, kept where a policy acts on them.
    `parked` holds, by function, the lines that stopped here; `users` counts the lines that must pass.
    """

    __slots__ = ("holders", "key", "parked", "recent", "rule", "users", "waiting")

    def __init__(self, rule: Rule, key: str) -> None:
        self.rule = rule
        self.key = key
        self.holders: dict[str, None] = {}
        self.recent = _NEVER
        self.waiting: dict[str, None] = {}
        self.parked: dict[str, list[tuple[Order, Line]]] = {}
        self.users = 0

    def has_room(self, now: int, execution_id: str = "") -> bool:
        """True if one more may pass; whoever kept its slot through a backoff always may."""
        n = self.rule.n
        if n is None:
            return True
        if self.rule.period:
            return self.opens_at() <= now
        return len(self.holders) < n or execution_id in self.holders

    def opens_at(self) -> int:
        """When a window lets the next one pass (µs)."""
        n, recent = self.rule.n, self.recent
        if n is None or len(recent) < n:
            return 0
        return recent[-n] + self.rule.period if n else ANY_TIME

    def passed(self, now: int, certain: int) -> None:
        """A window lets one pass. What was over at the time `certain`, which facts have told, may be forgotten: what
        is over only now is still needed if this one did not pass after all.
        """
        if self.recent is _NEVER:
            self.recent = deque()
        self.recent.append(now)
        # As many as the limit could need; it is the limit of now, and a lower one needs fewer.
        while len(self.recent) > max(self.rule.n or 0, 1) and self.recent[0] + self.rule.period <= certain:
            self.recent.popleft()

    def unpassed(self, now: int) -> None:
        """The last of this time did not pass after all."""
        for index in range(len(self.recent) - 1, -1, -1):
            if self.recent[index] == now:
                del self.recent[index]
                return

    def is_idle(self, now: int) -> bool:
        """True if forgetting this gate forgets nothing."""
        return not self.users and (not self.recent or self.recent[-1] + self.rule.period <= now)
