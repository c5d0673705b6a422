"""From a notice to the message that channels send: with the execution as the log has it, and the addresses."""

from penstock.domain.notify.delivery import Delivery
from penstock.domain.trace import format_traceparent
from penstock.ports import ExecutionLog
from penstock.telemetry.deliveries import delivery_context
from penstock_notifier.links import Links, arguments_of
from penstock_notifier.message import Message


class Composer:
    """Makes messages. `arguments`: whether they may carry those of the execution."""

    def __init__(self, log: ExecutionLog, links: Links, environment: str, *, arguments: bool) -> None:
        self._log = log
        self._links = links
        self._environment = environment
        self._arguments = arguments

    async def message(self, delivery: Delivery, earlier: Delivery | None) -> Message:
        """Raises Unavailable."""
        notice = delivery.notice
        loaded = await self._log.load(notice.execution_id, notice.function) if notice.execution_id else None
        state = loaded.state if loaded is not None else None
        trace_id = state.trace_id if state is not None else ""
        arguments = arguments_of(loaded.first) if loaded is not None and self._arguments else None
        return Message(
            id=notice.id,
            notice=notice,
            environment=self._environment,
            page=self._links.page(notice.execution_id) if notice.execution_id else "",
            trace=self._links.trace(trace_id) if trace_id else "",
            metadata=state.metadata if state is not None else {},
            arguments=arguments,
            earlier=earlier.receipt if earlier is not None else None,
            traceparent=format_traceparent(delivery_context(delivery, trace_id)),
            trace_id=trace_id,
        )
