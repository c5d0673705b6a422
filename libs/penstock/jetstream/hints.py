"""Hints about cancels and ended waits on core NATS: fast, and allowed to get lost, since the runner also looks for
itself.
"""

from collections.abc import Awaitable, Callable

import structlog
from nats.aio.msg import Msg

from penstock.domain.ids import is_execution_id
from penstock.jetstream.connect import Connection
from penstock.ports import Unavailable
from penstock.wire.names import Names

logger = structlog.get_logger("penstock")


class HintInbox:
    """Calls `take` with the id of each execution that somebody wants this runner to look at."""

    def __init__(self, connection: Connection, names: Names, take: Callable[[str], Awaitable[None]]) -> None:
        self._connection = connection
        self._names = names
        self._take = take

    async def open(self, runner: str) -> None:
        """Listen, for as long as the connection lives."""
        await self._connection.nc.subscribe(self._names.hint_subject(runner), cb=self._on_message)

    async def _on_message(self, message: Msg) -> None:
        execution_id = message.data.decode("utf-8", "replace")
        if not is_execution_id(execution_id):
            return
        try:
            await self._take(execution_id)
        except Unavailable as error:
            logger.warning("hint_not_followed", execution=execution_id, error=str(error))
