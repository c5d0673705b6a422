"""Executions that follow another one end when it ends: with its result, with their part of it, or with its error."""

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import Settle
from penstock.domain.execution.facts import (
    Cancelled,
    Discarded,
    Enqueued,
    ErrorInfo,
    Failed,
    Followed,
    Succeeded,
)
from penstock.domain.limits import payload_inline_bytes_max
from penstock.handle import handle
from penstock.ports import Clock, Dice, ExecutionLog, ObjectStore, Recorded
from penstock_scheduler.ends import Ended

AT_ONCE = 500

Outcome = Succeeded | Failed | Cancelled | Discarded

_elements = msgspec.json.Decoder(list[Raw])


class Followers:
    """The handler of ends for whoever joined the execution."""

    def __init__(self, log: ExecutionLog, payloads: ObjectStore, clock: Clock, dice: Dice) -> None:
        self._log = log
        self._payloads = payloads
        self._clock = clock
        self._dice = dice

    async def settle(self, ended: Ended) -> None:
        """Append the final fact of each follower that has none. Raises Unavailable."""
        state, first, outcome = ended.state, ended.first, ended.last
        if not state.is_followed or not isinstance(outcome, Outcome):
            return
        ids = followers_of(await self._log.read(state.id, state.function))
        outcomes: Sequence[Outcome] = [outcome] * len(ids)
        if first.members and isinstance(outcome, Succeeded):
            outcomes = await self._parts(outcome, len(ids))
        for start in range(0, len(ids), AT_ONCE):
            pairs = zip(ids[start : start + AT_ONCE], outcomes[start : start + AT_ONCE], strict=True)
            await asyncio.gather(*(self._one(each, ended.state.id, ended.state.function, part) for each, part in pairs))

    async def _one(self, execution_id: str, leader: str, function: str, outcome: Outcome) -> None:
        if isinstance(outcome, Succeeded) and outcome.result_ref is None:
            result = bytes(outcome.result)
            if len(result) > payload_inline_bytes_max:
                ref = f"{execution_id}-result-0"
                await self._payloads.put(ref, result)
                outcome = replace(outcome, result=Raw(b"null"), result_ref=ref)
        command = Settle(leader=leader, outcome=outcome)
        try:
            await handle(self._log, execution_id, command, self._clock, self._dice, function=function)
        except Rejected:
            return  # nothing is known of it any more

    async def _parts(self, outcome: Succeeded, count: int) -> Sequence[Outcome]:
        """The element of each member. The runner has checked how many there are, and how large they are together."""
        whole = bytes(outcome.result)
        if outcome.result_ref is not None:
            whole = await self._payloads.get(outcome.result_ref)
        try:
            parts = _elements.decode(whole)
        except msgspec.DecodeError:
            parts = []
        if len(parts) != count:
            error = ErrorInfo(code="batch_mismatch", message=f"The batch did not return {count} elements.")
            return [Failed(n=0, at=0, attempt=0, error=error)] * count
        return [replace(outcome, result=Raw(bytes(part)), result_ref=None) for part in parts]


def followers_of(recorded: Sequence[Recorded]) -> list[str]:
    """Those that joined the execution, members of a batch in their order."""
    found: list[str] = []
    for entry in recorded:
        if isinstance(entry.fact, Enqueued):
            found += entry.fact.members
        elif isinstance(entry.fact, Followed):
            found += entry.fact.followers
    return found
