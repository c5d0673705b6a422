"""Functions that need no admission: their pauses and changed limits are settings of their consumers, kept up here."""

import asyncio

import structlog

from penstock.domain.flow.state import FlowState
from penstock.jetstream.api import ApiRefused
from penstock.jetstream.consumers import FunctionConsumers
from penstock.jetstream.work import ACK_PENDING_MAX
from penstock.ports import Registry, Unavailable
from penstock_scheduler.admission import Admission, wait

logger = structlog.get_logger("penstock")

LOOK_SECONDS = 2.0
"""Runners bring their consumers to what is declared when they start; so long it may take until a change is back."""


class ConsumerKeeper:
    """Compares what consumers are with what they should be."""

    def __init__(self, admission: Admission, registry: Registry, consumers: FunctionConsumers) -> None:
        self._admission = admission
        self._registry = registry
        self._consumers = consumers
        self._touched: set[str] = set()
        """Functions whose consumer may differ from what its runner made."""

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await wait(self._admission.switched, LOOK_SECONDS)
            self._admission.switched.clear()
            if self._admission.leadership.is_leader:
                try:
                    await self.keep()
                except (Unavailable, ApiRefused) as error:
                    logger.warning("consumers_postponed", error=str(error))

    async def keep(self) -> None:
        """Bring each consumer to what it should be."""
        state = self._admission.state
        for spec in self._registry.all():
            paused, limit = is_paused(state, spec.name), None
            if not spec.is_gated:
                limit = changed_limit(state, spec.name)
            if spec.name not in self._touched and not paused and limit is None:
                continue
            found = await self._consumers.state(spec.name)
            if found is None:
                continue
            wanted = limit if limit is not None else spec.consumer_limit or ACK_PENDING_MAX
            if found.limit != wanted:
                await self._consumers.limit(spec.name, wanted)
            if paused and not found.is_paused:
                await self._consumers.pause(spec.name)
            elif found.is_paused and not paused:
                await self._consumers.resume(spec.name)
            if paused or limit is not None:
                self._touched.add(spec.name)
            else:
                self._touched.discard(spec.name)

    def look_at_all(self) -> None:
        """After a start nobody knows what was left behind."""
        self._touched.update(spec.name for spec in self._registry.all())


def is_paused(state: FlowState, function: str) -> bool:
    """Whether nothing of this function may start."""
    lines = state.functions.get(function)
    return state.is_paused or (lines is not None and lines.is_paused)


def changed_limit(state: FlowState, function: str) -> int | None:
    """The concurrency that somebody set at run time."""
    rule = state.rules.get(f"function:{function}")
    return rule.changed if rule is not None else None
