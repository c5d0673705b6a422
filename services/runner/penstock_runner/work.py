"""Taking work: one loop per function, never more than there is room for."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress

import structlog

from penstock.domain.function.options import FunctionSpec
from penstock.jetstream.work import JetStreamWork
from penstock.ports import Unavailable
from penstock_runner.execute import Executor
from penstock_runner.workers.slots import Slots

logger = structlog.get_logger("penstock")

TAKE_MAX = 256
MARK_SECONDS = 10.0
"""Pause between two functions whose progress is noted; with many functions each is noted less often."""


class FunctionWork:
    """The items of one function."""

    def __init__(self, spec: FunctionSpec, source: JetStreamWork, slots: Slots, executor: Executor) -> None:
        self._spec = spec
        self._source = source
        self._slots = slots
        self._executor = executor

    async def run(self) -> None:
        """Take and begin until stopped."""
        while not self._executor.is_draining:
            await self._slots.has_room()
            items = await self._source.take(max(1, min(self._slots.free, TAKE_MAX)))
            if not items:
                return
            for item in items:
                self._executor.begin(item, self._spec)

    async def mark(self) -> None:
        """Note how far this function's items are settled. Raises Unavailable."""
        await self._source.mark()

    async def stop(self) -> None:
        """Take no more."""
        await self._source.stop()


async def mark_progress(works: Sequence[FunctionWork]) -> None:
    """Note the progress of one function after the other, until cancelled."""
    for work in itertools.cycle(works):
        await asyncio.sleep(MARK_SECONDS)
        with suppress(Unavailable):
            await work.mark()
