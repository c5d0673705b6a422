"""Taking work: one loop per function, never more than there is room for."""

import structlog

from penstock.domain.function.options import FunctionSpec
from penstock.ports import WorkSource
from penstock_runner.execute import Executor
from penstock_runner.workers.slots import Slots

logger = structlog.get_logger("penstock")

TAKE_MAX = 256


class FunctionWork:
    """The items of one function."""

    def __init__(self, spec: FunctionSpec, source: WorkSource, slots: Slots, executor: Executor) -> None:
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

    async def stop(self) -> None:
        """Take no more."""
        await self._source.stop()
