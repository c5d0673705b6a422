"""Final facts that others wait for: each is read with its history once, and given to whoever acts on it.

Any number of schedulers share them. A fact is acknowledged after all that follows from it is stored, so that each
handler may see it more than once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from penstock.domain.execution.state import Execution
from penstock.handle import fold_recorded
from penstock.jetstream.ends import EndFact, EndFacts
from penstock.ports import ExecutionLog, Recorded, Unavailable
from penstock_scheduler.admission import wait

logger = structlog.get_logger("penstock")

TAKE_MAX = 200
RETRY_SECONDS = 1.0
MARK_SECONDS = 10.0


class Ended(NamedTuple):
    """An execution that is final, and all its facts."""

    state: Execution
    recorded: list[Recorded]


Handler = Callable[[Ended], Awaitable[None]]
"""Stores what follows from the end, or finds it stored. Raises Unavailable."""


class EndLoop:
    """Takes final facts and lets each handler act on each of them."""

    def __init__(self, source: EndFacts, log: ExecutionLog, handlers: Sequence[Handler]) -> None:
        self._source = source
        self._log = log
        self._handlers = handlers

    async def run(self) -> None:
        """Until the source is stopped."""
        while facts := await self._source.take(TAKE_MAX):
            await asyncio.gather(*(self._one(fact) for fact in facts))

    async def _one(self, fact: EndFact) -> None:
        try:
            recorded = await self._log.read(fact.execution_id, fact.function)
            state = fold_recorded(recorded)
            if state is not None and state.is_final:
                for handler in self._handlers:
                    await handler(Ended(state, recorded))
            await fact.ack()
        except Unavailable:
            await fact.give_back(RETRY_SECONDS)
        except Exception:
            # One history that cannot be read must not keep the others from going on.
            logger.exception("end_not_handled", execution=fact.execution_id)
            await fact.give_back(RETRY_SECONDS * 30)


async def mark_ends(source: EndFacts, stopping: asyncio.Event) -> None:
    """Note from time to time how far all ends are settled, until stopped."""
    while not stopping.is_set():
        await wait(stopping, MARK_SECONDS)
        with suppress(Unavailable):
            await source.mark()
