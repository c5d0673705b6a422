"""Final facts that others wait for: each is read with its history once, and given to whoever acts on it.

Any number of schedulers share them. A fact is acknowledged after all that follows from it is stored, so that each
handler may see it more than once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from penstock.domain.execution.facts import AnyFact, Enqueued, Unknown
from penstock.domain.execution.state import Execution
from penstock.jetstream.ends import EndFact, EndFacts
from penstock.ports import ExecutionLog, Unavailable
from penstock.service.concern import concerning
from penstock_scheduler.admission import wait

logger = structlog.get_logger("penstock")

TAKE_MAX = 200
RETRY_SECONDS = 1.0
MARK_SECONDS = 10.0


class Ended(NamedTuple):
    """An execution that is final, its first and last facts, and the number of the fact where its snapshot stands."""

    state: Execution
    first: Enqueued
    last: AnyFact | Unknown
    snapshot: int = 0


async def ended_of(log: ExecutionLog, execution_id: str, function: str, at: int = 0) -> Ended | None:
    """The execution, if it is final. Of a long history only a snapshot and what came after is read.

    `at` is where its end is known to stand. Raises Unavailable, also when a copy of the log answers that lags behind.
    """
    loaded = await log.load(execution_id, function)
    if loaded is None:
        return None
    if loaded.state.sequence < at:
        raise Unavailable(f"the end of {execution_id} is not in this copy of the log yet")
    if not loaded.state.is_final:
        return None
    newest = await log.read(execution_id, function, after=loaded.state.sequence - 1)
    if not newest:
        raise Unavailable(f"the end of {execution_id} is not in this copy of the log yet")
    return Ended(loaded.state, loaded.first, newest[-1].fact, loaded.snapshot)


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
        concern = concerning(fact.execution_id, fact.function)
        try:
            ended = await ended_of(self._log, fact.execution_id, fact.function, fact.sequence)
            if ended is not None:
                concern.learn(ended.state)
                for handler in self._handlers:
                    await handler(ended)
                if ended.snapshot:
                    await self._log.drop_kept(fact.execution_id)
            await fact.ack()
        except Unavailable:
            await fact.give_back(RETRY_SECONDS)
        except Exception:
            # One history that cannot be read must not keep the others from going on.
            logger.exception("end_not_handled")
            await fact.give_back(RETRY_SECONDS * 30)


async def mark_ends(source: EndFacts, stopping: asyncio.Event) -> None:
    """Note from time to time how far all ends are settled, until stopped."""
    while not stopping.is_set():
        await wait(stopping, MARK_SECONDS)
        with suppress(Unavailable):
            await source.mark()
