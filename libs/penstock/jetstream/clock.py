"""How far the NATS server's clock is from ours: it fires the timers, and stamps what is stored."""

import time
from datetime import datetime

from penstock.jetstream.api import ApiRefused, request
from penstock.jetstream.connect import Connection
from penstock.ports import Unavailable


async def clock_skew(connection: Connection) -> tuple[float, float]:
    """(seconds that the server is ahead, how far that may be wrong). Raises Unavailable."""
    before = time.time()
    try:
        answer = await request(connection, "$JS.API.STREAM.LIST")
    except ApiRefused as refusal:
        raise Unavailable(f"The NATS server does not tell its time: {refusal}.") from None
    after = time.time()
    streams = answer.get("streams") or []
    if not streams:
        raise Unavailable("The NATS server has no stream yet, so that it does not tell its time.")
    server = datetime.fromisoformat(streams[0]["ts"]).timestamp()
    return server - (before + after) / 2, (after - before) / 2
