"""What an attempt is given: from its first fact, from the object store where it is large, of each member of a batch."""

import asyncio

import msgspec
from msgspec import Raw

from penstock.domain.execution.facts import Enqueued, OptionalRaw
from penstock.jetstream.objects import PayloadMissing, Payloads
from penstock.ports import ExecutionLog
from penstock_runner.workers.messages import Given

MEMBERS_AT_ONCE = 32


class _Stored(msgspec.Struct):
    """As it is stored when it is too large for its fact."""

    args: Raw = Raw(b"[]")
    kwargs: Raw = Raw(b"{}")
    event: OptionalRaw = None


class Arguments:
    """Reads them. Raises PayloadMissing, PayloadDamaged or Unavailable."""

    def __init__(self, log: ExecutionLog, payloads: Payloads) -> None:
        self._log = log
        self._payloads = payloads

    async def of(self, first: Enqueued) -> Given:
        """What the execution itself was given."""
        found: Enqueued | _Stored = first
        if first.arguments_ref is not None:
            found = msgspec.json.decode(await self._payloads.get(first.arguments_ref), type=_Stored)
        return Given(bytes(found.args), bytes(found.kwargs), bytes(found.event) if found.event is not None else None)

    async def of_members(self, first: Enqueued) -> list[Given]:
        """What each member of a batch was given, in their order; of any other execution nothing."""
        if not first.members:
            return []
        room = asyncio.Semaphore(MEMBERS_AT_ONCE)

        async def member(execution_id: str) -> Given:
            async with room:
                recorded = await self._log.read(execution_id, first.function)
                enqueued = recorded[0].fact if recorded else None
                if not isinstance(enqueued, Enqueued):
                    raise PayloadMissing(f"Member {execution_id} of the batch is not in the log any more.")
                return await self.of(enqueued)

        return list(await asyncio.gather(*(member(each) for each in first.members)))
