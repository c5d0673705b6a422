"""Publishes one CloudEvent for each execution that ended without success.

At least once: a repeat has the same id, the hash of the fact, by which subscribers know it. The server's own duplicate
check is of no help, since its window is short and its verdict would be per stream.
"""

import asyncio
from typing import Any, Protocol

import msgspec
import structlog

from penstock.domain.execution.state import Execution
from penstock.domain.ids import content_hash
from penstock.domain.notify.notice import shortened
from penstock.domain.trace import SpanContext, format_traceparent
from penstock.jetstream.ends import EndFact, EndFacts
from penstock.ports import ExecutionLog, Unavailable
from penstock.service.concern import Concern, concerning
from penstock.telemetry.paths import notify_span
from penstock.wire import names as wire
from penstock.wire.cloudevents import STRUCTURED, instant
from penstock.wire.names import Names
from penstock.wire.notification import OUTCOMES, Notification, NotificationData, NotifiedExecution, notified
from penstock_notifier.links import Links, arguments_of

logger = structlog.get_logger("penstock")

TAKE_MAX = 200
RETRY_SECONDS = 1.0


class Publish(Protocol):
    """Stores a message in its stream before it answers."""

    async def __call__(self, subject: str, data: bytes, headers: dict[str, str]) -> int: ...


def notification(
    names: Names, state: Execution, event_id: str, links: dict[str, str], arguments: dict[str, Any] | None = None
) -> bytes:
    """The structured CloudEvent about a final state. It carries no arguments unless they are given."""
    finished_at = instant(state.finished_at or state.updated_at)
    execution = NotifiedExecution(
        id=state.id,
        function=state.function,
        state=str(state.state),
        attempt=state.attempt,
        error=notified(shortened(state.error)),
        created_at=instant(state.created_at),
        finished_at=finished_at,
        trace_id=state.trace_id,
        parent_id=state.parent_id,
        event_id=state.event_id,
        links=links,
        arguments=arguments if arguments is not None else msgspec.UNSET,
    )
    event = Notification(
        id=event_id,
        source=f"/penstock/{names.environment}",
        type=f"penstock.execution.{state.state}",
        subject=state.id,
        time=finished_at,
        traceparent=notify_traceparent(state),
        data=NotificationData(execution=execution),
    )
    return msgspec.json.encode(event)


def notify_traceparent(state: Execution) -> str:
    """The span of this notification, below which receivers may put theirs."""
    return format_traceparent(SpanContext(state.trace_id, notify_span(state.id)))


class Notifications:
    """Takes final facts, publishes, then acknowledges."""

    def __init__(
        self,
        source: EndFacts,
        log: ExecutionLog,
        publish: Publish,
        names: Names,
        links: Links,
        *,
        arguments: bool = False,
    ) -> None:
        """`arguments`: whether notifications may carry those of the execution."""
        self._source = source
        self._log = log
        self._publish = publish
        self._names = names
        self._links = links
        self._arguments = arguments

    async def run(self) -> None:
        """Until the source is stopped."""
        while facts := await self._source.take(TAKE_MAX):
            await asyncio.gather(*(self._one(fact) for fact in facts))

    async def _one(self, fact: EndFact) -> None:
        concern = concerning(fact.execution_id, fact.function)
        try:
            await self.tell(fact, concern)
            await fact.ack()
        except Unavailable:
            await fact.give_back(RETRY_SECONDS)
        except Exception:
            # One history that cannot be read must not keep the others from being told.
            logger.exception("notification_failed")
            await fact.give_back(RETRY_SECONDS * 30)

    async def tell(self, fact: EndFact, concern: Concern) -> None:
        """Publish the notification of this fact, if its outcome has one. Raises Unavailable."""
        loaded = await self._log.load(fact.execution_id, fact.function)
        if loaded is None or loaded.state.state not in OUTCOMES:
            return
        state = loaded.state
        concern.learn(state)
        event_id = content_hash(fact.execution_id.encode() + fact.data)
        arguments = arguments_of(loaded.first) if self._arguments else None
        body = notification(self._names, state, event_id, self._links.of(state), arguments)
        subject = self._names.notification_subject(state.state, state.function)
        headers = {wire.CONTENT_TYPE: STRUCTURED, wire.TRACEPARENT: notify_traceparent(state)}
        await self._publish(subject, body, headers)
        logger.debug("notification_published", outcome=str(state.state))
