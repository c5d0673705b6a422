"""Looks at the view and at the consumers when somebody asks for metrics, and not more often than is good for them."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from penstock.domain.execution.state import State
from penstock.jetstream.api import ApiRefused
from penstock.jetstream.consumers import ConsumerState
from penstock.ports import Clock, Unavailable
from penstock.telemetry import names as t
from penstock.telemetry.metrics import Meter
from penstock_query.progress import Progress
from penstock_query.project import Ended
from penstock_query.reads import OpenCount

logger = structlog.get_logger("penstock.query")

FRESH_SECONDS = 5.0
EFFORT = 20
"""A look that took long is not repeated before so many times as long: it takes a twentieth of a core at most."""


class Counts(Protocol):
    """The view."""

    async def open_counts(self) -> list[OpenCount]: ...


class Consumers(Protocol):
    """The queues of functions."""

    async def states(self, functions: Iterable[str]) -> Mapping[str, ConsumerState]: ...


class Gauges:
    """Sets the gauges of a meter."""

    def __init__(
        self,
        meter: Meter,
        counts: Counts,
        consumers: Consumers,
        log: Ended,
        progress: Progress,
        declared: Callable[[], Iterable[str]],
        clock: Clock,
    ) -> None:
        """`declared` are the functions that runners have made known: they show a zero where there is nothing."""
        self._declared = declared
        self._meter = meter
        self._counts = counts
        self._consumers = consumers
        self._log = log
        self._progress = progress
        self._clock = clock
        self._again_at = 0.0
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Bring the gauges up to date, unless that was done a moment ago. What cannot be had shows no value."""
        async with self._looking:
            began = time.monotonic()
            if began < self._again_at:
                return
            functions = await self._look_at_view()
            await self._look_at_server(functions)
            took = time.monotonic() - began
            self._again_at = began + max(FRESH_SECONDS, EFFORT * took)

    async def _look_at_view(self) -> set[str]:
        counts = await self._counts.open_counts()
        now = self._clock()
        functions = {each.function for each in counts} | set(self._declared())
        held, queued = dict.fromkeys(functions, 0), dict.fromkeys(functions, 0)
        ages: dict[tuple[str, ...], float] = {}
        for function, state, number, since in counts:
            if state in (State.RUNNING, State.CANCELLING):
                held[function] += number
            elif state is State.QUEUED:
                queued[function] += number
                ages[function,] = max(0.0, (now - (since or now)) / 1_000_000)
        self._meter.set(t.EXECUTIONS_OPEN, {(each.function, str(each.state)): each.number for each in counts})
        self._meter.set(t.QUEUE_DEPTH, {(each,): count for each, count in queued.items()})
        self._meter.set(t.QUEUE_AGE, ages)
        self._meter.set(t.SLOTS_HELD, {(each,): count for each, count in held.items()})
        self._meter.set(t.SLOTS_WANTED, {(each,): count + queued[each] for each, count in held.items()})
        return functions

    async def _look_at_server(self, functions: set[str]) -> None:
        try:
            end = await self._log.last_sequence()
            states = await self._consumers.states(functions)
        except (Unavailable, ApiRefused) as error:
            logger.warning("metrics_without_server", reason=str(error))
            for metric in (t.VIEW_LAG, t.QUEUE_RUNNABLE, t.REDELIVERIES):
                self._meter.set(metric, {})
            return
        self._meter.set(t.VIEW_LAG, {(): max(0, end - self._progress.position)})
        self._meter.set(t.QUEUE_RUNNABLE, {(each,): state.pending for each, state in states.items()})
        self._meter.set(t.REDELIVERIES, {(each,): state.redelivered for each, state in states.items()})
