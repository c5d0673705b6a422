"""Children with more than one parent: an idempotency key may lead a call to an execution that another one called first.

The end of an execution is told to the parent that its first fact names. Whoever else waits for it is found here: a fold
over the log, and a loop that tells.
"""

import asyncio
from collections.abc import Sequence

import structlog

from penstock.ports import ExecutionLog, Unavailable
from penstock_scheduler.admission import wait
from penstock_scheduler.ends import ended_of
from penstock_scheduler.families import Families

logger = structlog.get_logger("penstock")

LOOK_SECONDS = 0.5
RETRY_SECONDS = 1.0


class SharedChildren:
    """Children that may be those of others too, with the parents that wait for them."""

    def __init__(self) -> None:
        self._parents: dict[str, dict[str, None]] = {}
        self.to_look: dict[str, None] = {}
        """Children that may have ended, and of whose end a parent may not know."""
        self.changed = asyncio.Event()

    def __contains__(self, child: str) -> bool:
        return child in self._parents

    def add(self, child: str, parent: str) -> None:
        """The parent waits for the child, which may have ended before."""
        self._parents.setdefault(child, {})[parent] = None
        self.look(child)

    def remove(self, child: str, parent: str) -> None:
        """The parent knows, or does not wait any more."""
        parents = self._parents.get(child, {})
        parents.pop(parent, None)
        if not parents:
            self._parents.pop(child, None)
            self.to_look.pop(child, None)

    def look(self, child: str) -> None:
        """The child may have ended."""
        self.to_look[child] = None
        self.changed.set()

    def parents(self, child: str) -> Sequence[str]:
        """Who waits for it."""
        return list(self._parents.get(child, ()))


async def tell_sharing(shared: SharedChildren, log: ExecutionLog, families: Families, stopping: asyncio.Event) -> None:
    """Tell parents of the ends of children that they share, until stopped. To be begun when the log is read."""
    while not stopping.is_set():
        shared.changed.clear()
        try:
            for child in list(shared.to_look):
                await _tell(child, shared, log, families)
        except Unavailable as error:
            logger.warning("shared_children_postponed", error=str(error))
            await wait(stopping, RETRY_SECONDS)
            continue
        await wait(shared.changed, LOOK_SECONDS)


async def _tell(child: str, shared: SharedChildren, log: ExecutionLog, families: Families) -> None:
    del shared.to_look[child]
    try:
        function = await log.function_of(child)
        ended = await ended_of(log, child, function) if function is not None else None
        if ended is not None:
            await asyncio.gather(*(families.tell(parent, ended) for parent in shared.parents(child)))
    except Unavailable:
        shared.to_look[child] = None
        raise
