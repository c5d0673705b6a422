"""The runner's proof of life, for itself and for each item, and its ear for cancel requests."""

import asyncio

import structlog

from penstock.ports import Leases, Unavailable
from penstock_runner.execute import Executor

logger = structlog.get_logger("penstock")

BEAT_SECONDS = 2.0
TOUCH_SECONDS = 8.0
"""An item is prolonged after so long; the server delivers it elsewhere after 30 seconds of silence."""
LOOKS_PER_BEAT_MAX = 100
"""Running executions whose last fact is read in one beat; with more of them each is read less often."""


class Heartbeat:
    """Beats until cancelled. Nothing here depends on user code."""

    def __init__(self, executor: Executor, leases: Leases) -> None:
        self._executor = executor
        self._leases = leases
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        while True:
            started = self._loop.time()
            try:
                if self._executor.is_in_doubt:
                    await self._look_at_all()
                await self._leases.renew(self._executor.runner)
                self._executor.proven_at = started
                await self._touch(started)
                await self._look(started)
            except Unavailable as error:
                # The connection comes back by itself; if others take our work over, the log keeps us out.
                logger.warning("heartbeat_missed", error=str(error))
            await asyncio.sleep(max(0.1, BEAT_SECONDS - (self._loop.time() - started)))

    async def _touch(self, now: float) -> None:
        for activity in list(self._executor.active.values()):
            if now - activity.touched >= TOUCH_SECONDS:
                activity.touched = now
                await activity.item.in_progress()

    async def _look_at_all(self) -> None:
        """What was taken over meanwhile stops before a new lease says that all is well."""
        await asyncio.gather(*(self._executor.look_again(execution) for execution in list(self._executor.active)))

    async def _look(self, now: float) -> None:
        """Hints may be lost; the last fact of what runs longer is looked at in any case."""
        due = [one for one in self._executor.active.values() if one.assignment and now - one.checked >= BEAT_SECONDS]
        due.sort(key=lambda activity: activity.checked)
        for activity in due[:LOOKS_PER_BEAT_MAX]:
            activity.checked = now
            await self._executor.look_again(activity.item.execution_id)
