"""Makes the execution that a hook asks for when another one has ended."""

from collections.abc import Callable

from msgspec.structs import replace

from penstock.domain.execution.facts import Enqueued
from penstock.domain.execution.hook_start import hook_execution
from penstock.domain.execution.hooks import NO_HOOKS
from penstock.ports import Append, Clock, Conflict, ExecutionLog
from penstock_scheduler.ends import Ended


class HookStarter:
    """A handler of ends. The id of what it makes is a hash of the final fact, so that it is made once."""

    def __init__(
        self, log: ExecutionLog, stamp: Callable[[Enqueued], Enqueued], environment: str, clock: Clock
    ) -> None:
        """`stamp` gives the first fact what follows from the options of its function."""
        self._log = log
        self._stamp = stamp
        self._environment = environment
        self._clock = clock

    async def start(self, ended: Ended) -> None:
        """Append `enqueued` of the hook for this outcome, if there is one. Raises Unavailable."""
        made = hook_execution(ended.state, ended.last, self._environment, self._clock())
        if made is None:
            return
        execution_id, fact = made
        # What a hook starts has no hooks: one that fails cannot start itself for ever.
        first = replace(self._stamp(fact), hooks=NO_HOOKS)
        try:
            await self._log.append(
                Append(execution_id=execution_id, function=first.function, facts=[first], expected=0)
            )
        except Conflict:
            return  # made before the fact was acknowledged
