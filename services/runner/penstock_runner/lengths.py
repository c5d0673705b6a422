"""Keeps snapshots of executions that have grown long, so that going on with one does not mean reading all of it."""

import asyncio
from contextlib import suppress

from penstock.domain.errors import Rejected
from penstock.domain.execution.state import State
from penstock.jetstream.log import JetStreamLog
from penstock.ports import Unavailable
from penstock_runner.activity import Activity

FACTS_MIN = 1000
"""Facts beyond the last snapshot that make another one worth while."""
GROWTH = 4
"""A snapshot of n facts is followed by one after n / GROWTH more: all snapshots together stay a few times the last."""


class Lengths:
    """Looks at executions as they grow. A snapshot that cannot be stored is no loss: the facts tell the same."""

    def __init__(self, log: JetStreamLog, facts_min: int = FACTS_MIN) -> None:
        self._log = log
        self._facts_min = facts_min

    def grown(self, activity: Activity) -> None:
        """It has more facts than before: perhaps enough for a snapshot, which is then stored beside its work."""
        if self._is_due(activity) and not activity.keeping:
            task = asyncio.get_running_loop().create_task(self._keep(activity))
            activity.keeping.add(task)
            task.add_done_callback(activity.keeping.discard)

    async def ended(self, activity: Activity) -> None:
        """Its code has left: whoever goes on with it finds a snapshot."""
        if activity.keeping:
            await asyncio.wait(activity.keeping)
        if self._is_due(activity):
            await self._keep(activity)

    async def final(self, activity: Activity) -> None:
        """Nobody goes on with it. If somebody acts on its end, they forget the snapshot when they have read it."""
        if activity.keeping:
            await asyncio.wait(activity.keeping)
        state = activity.state
        is_acted_on = state.is_awaited or state.state is not State.SUCCEEDED
        if activity.snapshot and not is_acted_on:
            with suppress(Unavailable):
                await self._log.drop_kept(activity.state.id)

    def _is_due(self, activity: Activity) -> bool:
        return activity.state.n - activity.snapshot >= max(self._facts_min, activity.snapshot // GROWTH)

    async def _keep(self, activity: Activity) -> None:
        state = activity.state
        with suppress(Unavailable, Rejected):
            await self._log.keep(activity.first, state)
            activity.snapshot = state.n
