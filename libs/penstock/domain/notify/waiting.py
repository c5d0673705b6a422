"""Executions that could run and have not started, oldest first: what rules about queues look at."""

from typing import NamedTuple

from penstock.domain.notify.seen import Seen

WAITING_MAX = 200_000
"""So many are remembered over all functions; while there are more, only the older ones are seen."""

_LEFT = frozenset(
    {"started", "retry_scheduled", "rescheduled", "joined", "paused", "succeeded", "failed", "cancelled", "discarded"}
)
_CAME = frozenset({"due", "attempt_lost", "resumed"})
_MAY_COME = frozenset({"woken", "child_completed"})
"""These make an execution runnable only if it was suspended."""


class Waits(NamedTuple):
    """One waiting execution: since when, and where the fact stands that made it wait."""

    since: int
    sequence: int


class Waiting:
    """The fold. It is made anew from the log, beginning at `oldest_sequence` of an earlier one."""

    def __init__(self, room: int = WAITING_MAX) -> None:
        self._room = room
        self._size = 0
        self.by_function: dict[str, dict[str, Waits]] = {}

    def take(self, seen: Seen) -> None:
        """One fact of an execution."""
        if seen.kind in _LEFT:
            queue = self.by_function.get(seen.function)
            if queue is not None and queue.pop(seen.execution_id, None) is not None:
                self._size -= 1
        elif (
            seen.kind in _CAME
            or (seen.kind in _MAY_COME and seen.wakes)
            or (seen.kind == "enqueued" and not seen.waits)
        ):
            queue = self.by_function.setdefault(seen.function, {})
            if seen.execution_id not in queue and self._size < self._room:
                queue[seen.execution_id] = Waits(seen.at, seen.sequence)
                self._size += 1

    def oldest(self, function: str) -> tuple[str, int] | None:
        """Which execution of the function waits longest, and since when."""
        queue = self.by_function.get(function)
        if not queue:
            return None
        execution_id = next(iter(queue))
        return execution_id, queue[execution_id].since

    def count(self, function: str) -> int:
        """How many wait."""
        return len(self.by_function.get(function, ()))

    @property
    def oldest_sequence(self) -> int | None:
        """Where in the log one would have to begin to know all of this again; None when nothing waits."""
        firsts = [next(iter(queue.values())).sequence for queue in self.by_function.values() if queue]
        return min(firsts, default=None)
