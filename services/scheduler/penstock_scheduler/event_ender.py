"""Ends one open wait with the event that it waited for."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import CompleteWait
from penstock.domain.execution.event_waits import EventWait
from penstock.domain.limits import payload_inline_bytes_max
from penstock.handle import load
from penstock.ports import ExecutionLog, ObjectStore, Unavailable
from penstock.service.concern import Concern, concerning
from penstock.wire import cloudevents as ce
from penstock.wire.names import wait_token
from penstock_scheduler.carrier import Carrier

logger = structlog.get_logger("penstock")

AT_ONCE = 500
RETRY_SECONDS = 1.0
TRIES_UNKNOWN_MAX = 10
"""An execution that the log knew is looked for so often before it is taken for removed."""


class Match(NamedTuple):
    """A wait, and the first event that it fits."""

    wait: EventWait
    event: ce.Event


class EventEnder:
    """Any number of copies end the same wait with the same event; the log takes the first."""

    def __init__(self, log: ExecutionLog, payloads: ObjectStore, carrier: Carrier) -> None:
        self._log = log
        self._payloads = payloads
        self._carrier = carrier
        self._room = asyncio.Semaphore(AT_ONCE)

    async def end_all(self, matches: Iterable[Match]) -> None:
        """Return when each is over in the log, however long that takes."""
        await asyncio.gather(*(self._surely(match) for match in matches))

    async def _surely(self, match: Match) -> None:
        unknown, concern = 0, concerning(match.wait.execution_id, match.wait.function)
        while unknown < TRIES_UNKNOWN_MAX:
            try:
                async with self._room:
                    if await self._end(match, concern):
                        return
                unknown += 1
            except Unavailable as error:
                logger.warning("event_wait_postponed", error=str(error))
            except Exception:
                # One history that cannot be folded must not stop all the others.
                logger.exception("event_wait_failed")
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _end(self, match: Match, concern: Concern) -> bool:
        """False if the log that was read does not know the wait yet, though it is in the log."""
        wait, event = match
        state = await load(self._log, wait.execution_id, wait.function)
        if state is None or state.sequence < wait.sequence:
            return False
        concern.learn(state)
        if wait.key not in state.waits:
            return True
        result, ref = ce.encode_event(event), None
        if len(bytes(result)) > payload_inline_bytes_max:
            ref = f"{wait.execution_id}-{wait_token(wait.key)}"
            await self._payloads.put(ref, bytes(result))
            result = Raw(b"null")
        command = CompleteWait(wait=wait.key, outcome="event", result=result, result_ref=ref, source=event.id)
        try:
            await self._carrier.carry_out(wait.execution_id, command, wait.function, state)
        except Rejected:
            logger.debug("event_wait_over", wait=wait.key)
        return True
