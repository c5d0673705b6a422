"""The consumers of functions as flow control sees them: what is pending, who pulls, pauses and limits."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from penstock.jetstream.api import ApiRefused, request
from penstock.jetstream.connect import Connection
from penstock.wire.names import Names

CONSUMER_UNKNOWN = 10014
FOREVER = timedelta(days=36_500)
RUN_OUT = timedelta(milliseconds=200)


class ConsumerState(NamedTuple):
    """One function's consumer now."""

    pending: int
    """Runnable and not yet delivered."""
    under_way: int
    """Delivered and not yet settled."""
    limit: int
    """How many may be under way at once."""
    pulls: int
    """Requests for work that wait at the server: of runners with room."""
    is_paused: bool
    redelivered: int = 0
    """Under way, and delivered more than once."""


class FunctionConsumers:
    """Looking at the consumers that runners make, pausing them and changing their limit."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._connection = connection
        self._names = names

    async def state(self, function: str) -> ConsumerState | None:
        """None when no runner has ever had the function. Raises Unavailable."""
        info = await self._info(function)
        return None if info is None else _state(info)

    async def states(self, functions: Iterable[str]) -> dict[str, ConsumerState]:
        """Those of many, which is one request for some hundreds of them. Raises Unavailable."""
        wanted = {self._names.runner_consumer(each): each for each in functions}
        found: dict[str, ConsumerState] = {}
        offset, total = 0, 1
        while offset < total:
            subject = f"$JS.API.CONSUMER.LIST.{self._names.executions}"
            answer = await request(self._connection, subject, {"offset": offset})
            infos = answer.get("consumers") or []
            found.update({wanted[each["name"]]: _state(each) for each in infos if each["name"] in wanted})
            offset, total = offset + len(infos), answer["total"] if infos else 0
        return found

    async def pause(self, function: str) -> None:
        """Deliver nothing until resumed."""
        await self._pause(function, datetime.now(UTC) + FOREVER)

    async def resume(self, function: str) -> None:
        """Deliver again."""
        info = await self._info(function)
        if info is None or not info.get("paused"):
            return
        # A pause that is called off wakes nobody who waits at the server already, one that runs out does. Both times
        # are the server's own.
        server_now = datetime.fromisoformat(info["config"]["pause_until"]) - timedelta(
            microseconds=info["pause_remaining"] / 1000
        )
        await self._pause(function, server_now + RUN_OUT)

    async def limit(self, function: str, n: int) -> None:
        """Change how many may be under way."""
        info = await self._info(function)
        if info is None or info["config"].get("max_ack_pending") == n:
            return
        stream, name = self._names.executions, self._names.runner_consumer(function)
        config = {**info["config"], "max_ack_pending": n}
        await request(
            self._connection,
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}",
            {"stream_name": stream, "config": config, "action": "update"},
        )

    async def _info(self, function: str) -> dict[str, Any] | None:
        subject = f"$JS.API.CONSUMER.INFO.{self._names.executions}.{self._names.runner_consumer(function)}"
        try:
            return await request(self._connection, subject)
        except ApiRefused as refusal:
            if refusal.code != CONSUMER_UNKNOWN:
                raise
            return None

    async def _pause(self, function: str, until: datetime) -> None:
        body = {"pause_until": until.astimezone(UTC).isoformat().replace("+00:00", "Z")}
        stream, name = self._names.executions, self._names.runner_consumer(function)
        await request(self._connection, f"$JS.API.CONSUMER.PAUSE.{stream}.{name}", body)


def _state(info: dict[str, Any]) -> ConsumerState:
    return ConsumerState(
        info["num_pending"],
        info["num_ack_pending"],
        info["config"].get("max_ack_pending", 0),
        info["num_waiting"],
        bool(info.get("paused")),
        info["num_redelivered"],
    )
