"""From EVENTS to executions: every message ends as `event_fanned_out` or `event_rejected`, and is acked after it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.system import EventFannedOut, EventRejected
from penstock.domain.trace import parse_traceparent
from penstock.jetstream.inbox import EventInbox, Published
from penstock.ports import Clock, Conflict, ExecutionLog, Unavailable
from penstock.wire.names import TRACEPARENT
from penstock_ingest.accept import Accepted, Acceptor, Verdict
from penstock_ingest.messages import Plan, Planner

logger = structlog.get_logger("penstock")

CHUNK = 250
CHUNKS_MAX = 4
"""Chunks under way at once: while one waits for the log, the next is read and checked."""
EXCERPT_CHARS = 512
RETRY_SECONDS = 1.0
DELIVERIES_MAX = 10
"""A message on which our own code still fails after so many deliveries is recorded as rejected."""


class _Planned(NamedTuple):
    message: Published
    plan: Plan


class FanOut:
    """The loop on the durable consumer that all copies of ingest share."""

    def __init__(
        self, inbox: EventInbox, planner: Planner, acceptor: Acceptor, log: ExecutionLog, clock: Clock
    ) -> None:
        self._inbox = inbox
        self._planner = planner
        self._acceptor = acceptor
        self._log = log
        self._clock = clock
        self._room = asyncio.Semaphore(CHUNKS_MAX)
        self._chunks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the inbox is stopped; chunks under way are finished."""
        while messages := await self._inbox.take(CHUNK):
            await self._room.acquire()
            task = asyncio.create_task(self._guarded(messages))
            self._chunks.add(task)
            task.add_done_callback(self._chunk_done)
        if self._chunks:
            await asyncio.wait(self._chunks)

    def _chunk_done(self, task: asyncio.Task[None]) -> None:
        self._chunks.discard(task)
        self._room.release()

    async def _guarded(self, messages: list[Published]) -> None:
        try:
            await self._chunk(messages)
        except Exception:
            logger.exception("fan_out_failed", first=messages[0].sequence, count=len(messages))
            # What is stored already is found again; the one at fault shall not hold up the others.
            for message in messages:
                await self._alone(message)

    async def _alone(self, message: Published) -> None:
        try:
            await self._chunk([message])
        except Exception as error:
            logger.exception("fan_out_failed", first=message.sequence, count=1, **_of(message))
            if message.deliveries < DELIVERIES_MAX:
                await message.delivery.give_back(RETRY_SECONDS)
            else:
                await self._reject(message, _broken(error))

    async def _chunk(self, messages: list[Published]) -> None:
        planned: list[_Planned] = []
        settled: list[Coroutine[Any, Any, None]] = []
        for message in messages:
            if message.is_repeat and await self._known(message):
                continue
            try:
                planned.append(_Planned(message, self._planner.plan(message)))
            except Rejected as refusal:
                settled.append(self._reject(message, refusal))
            except Exception as error:
                logger.exception("event_not_understood", **_of(message))
                settled.append(self._reject(message, _broken(error)))
        drafts = [draft for each in planned for draft in each.plan.drafts]
        verdicts = iter(await self._acceptor.accept_many(drafts))
        for each in planned:
            mine = [next(verdicts) for _ in each.plan.drafts]
            settled.append(self._conclude(each.message, each.plan, mine))
        await asyncio.gather(*settled)

    async def _known(self, message: Published) -> bool:
        """True for a message that needs nothing more: settled before, or given back since the log does not answer."""
        try:
            if not await self._inbox.is_settled(message.sequence):
                return False
            await message.delivery.ack()
        except Unavailable:
            await message.delivery.give_back(RETRY_SECONDS)
        return True

    async def _conclude(self, message: Published, plan: Plan, verdicts: list[Verdict]) -> None:
        executions: list[tuple[str, str]] = []
        refused = list(plan.refused)
        for draft, verdict in zip(plan.drafts, verdicts, strict=True):
            function = draft.fact.function
            if isinstance(verdict, Accepted):
                executions.append((function, verdict.id))
            elif isinstance(verdict, Rejected):
                if plan.is_call:
                    await self._reject(message, verdict)
                    return
                refused.append((function, verdict.code, verdict.detail))
            else:
                await message.delivery.give_back(RETRY_SECONDS)
                return
        fact = EventFannedOut(
            at=self._clock(),
            sequence=message.sequence,
            event_id=plan.event_id,
            name=plan.name,
            source=plan.source,
            executions=executions,
            refused=refused,
            received_at=message.received_at,
            trace_id=plan.trace_id,
        )
        await self._settle(message, "event_fanned_out", fact)

    async def _reject(self, message: Published, refusal: Rejected) -> None:
        fact = EventRejected(
            at=self._clock(),
            sequence=message.sequence,
            subject=message.subject,
            code=refusal.code,
            detail=refusal.detail,
            excerpt=message.data[: 4 * EXCERPT_CHARS].decode("utf-8", "replace")[:EXCERPT_CHARS],
            received_at=message.received_at,
        )
        await self._settle(message, "event_rejected", fact)
        logger.info("event_rejected", code=refusal.code, **_of(message))

    async def _settle(self, message: Published, kind: str, fact: EventFannedOut | EventRejected) -> None:
        try:
            await self._log.append_system(kind, str(message.sequence), fact, expected=0)
        except Conflict:
            # Another delivery of it was settled first.
            pass
        except Unavailable as error:
            logger.warning("fan_out_postponed", error=str(error), **_of(message))
            await message.delivery.give_back(RETRY_SECONDS)
            return
        await message.delivery.ack()


def _of(message: Published) -> dict[str, Any]:
    """What lines about a message carry: where it stands, and the trace of whoever published it."""
    caller = parse_traceparent(message.headers.get(TRACEPARENT))
    trace = {"trace_id": caller.trace_id} if caller is not None else {}
    return {"subject": message.subject, "sequence": message.sequence, **trace}


def _broken(error: Exception) -> Rejected:
    return Rejected("internal", f"The message could not be handled ({type(error).__name__}).")
