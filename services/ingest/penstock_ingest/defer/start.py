"""Starting executions by Defer's rules, and running them again."""

from msgspec import Raw

from penstock.defer.errors import cannot_find_function
from penstock.defer.requests import Enqueue, resolved
from penstock.domain.errors import Rejected
from penstock.domain.execution.create import Origin
from penstock.domain.execution.evolve import evolve
from penstock.domain.execution.state import Execution
from penstock.ports import Clock, Registry
from penstock.service.direct import Call
from penstock_ingest.accept import Acceptor
from penstock_ingest.drafts import Draft, Drafter
from penstock_ingest.executions import carried_by
from penstock_ingest.rerun import RerunRoutes


class Starter:
    """New executions. What no runner has any more is taken too, and waits for one."""

    def __init__(
        self, registry: Registry, drafter: Drafter, acceptor: Acceptor, rerun: RerunRoutes, clock: Clock
    ) -> None:
        self._registry = registry
        self._drafter = drafter
        self._acceptor = acceptor
        self._rerun = rerun
        self._clock = clock

    async def start(self, call: Call, wanted: Enqueue, arguments: Raw) -> Execution:
        """The new execution. Raises Rejected or Unavailable."""
        spec = self._registry.get(wanted.function_name)
        if spec is None:
            raise Rejected("unknown_function", cannot_find_function(wanted.function_name))
        now = self._clock()
        origin = Origin(carried=carried_by(call))
        return await self._stored(self._drafter.draft_by(spec, arguments, resolved(wanted, now), now, origin))

    async def start_again(self, call: Call, execution_id: str) -> Execution:
        """A new execution of the same function with the same arguments and metadata. Raises Rejected."""
        return await self._stored(await self._rerun.draft(execution_id, carried_by(call)))

    async def _stored(self, draft: Draft) -> Execution:
        await self._acceptor.accept(draft)
        return evolve(None, draft.execution_id, draft.fact)
