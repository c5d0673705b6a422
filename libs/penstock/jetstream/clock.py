"""How far the NATS server's clock is from ours: it fires the timers, and stamps what is stored."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from penstock.jetstream.api import ApiRefused, request
from penstock.jetstream.connect import Connection
from penstock.ports import Clock, Unavailable

logger = structlog.get_logger("penstock")

LOOK_SECONDS = 30.0
WARN_SECONDS = 0.5

Skew = Callable[[], Awaitable[tuple[float, float]]]


async def clock_skew(connection: Connection, stream: str = "") -> tuple[float, float]:
    """(seconds that the server is ahead, how far that may be wrong), asked by way of a stream, or of all.

    Raises Unavailable.
    """
    before = time.time()
    try:
        answer = await request(connection, f"$JS.API.STREAM.INFO.{stream}" if stream else "$JS.API.STREAM.LIST")
    except ApiRefused as refusal:
        raise Unavailable(f"The NATS server does not tell its time: {refusal}.") from None
    after = time.time()
    streams = [answer] if stream else answer.get("streams") or []
    if not streams:
        raise Unavailable("The NATS server has no stream yet, so that it does not tell its time.")
    server = datetime.fromisoformat(streams[0]["ts"]).timestamp()
    return server - (before + after) / 2, (after - before) / 2


class HeldBackClock:
    """Our clock, held back where it is ahead of the server's.

    A wake-up comes by the server's clock, and is then judged by ours. What repairs lost wake-ups judges by ours alone:
    if that were ahead, it would start things early.
    """

    def __init__(self, clock: Clock, skew: Skew) -> None:
        self._clock = clock
        self._skew = skew
        self._ahead = 0

    def __call__(self) -> int:
        return self._clock() - self._ahead

    async def look(self) -> None:
        """Compare the two. Where that is not possible nothing changes."""
        try:
            server_ahead, error = await self._skew()
        except Unavailable:
            return
        ahead = max(0.0, -server_ahead - error)
        if ahead > WARN_SECONDS:
            logger.warning("clock_ahead", seconds=round(ahead, 3), hint="Let both machines follow one time server.")
        self._ahead = round(ahead * 1_000_000)

    async def run(self) -> None:
        """Compare them again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()
