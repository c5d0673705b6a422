"""What tracing costs: CPU of the same executions with every span exported, and without any."""

import asyncio
import time

import httpx2

from penstock.bench import measure
from penstock.bench.processes import costs, spent
from penstock.bench.stand import Stand, stand

FACTS = 3
WARM_UP = 1000
QUIET_SECONDS = 1.0
"""The collector has everything when nothing has come for so long; spans linger for a quarter of it at most."""
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 60.0


def cpu_per_1000(items: int, *, spans: bool) -> float:
    """CPU seconds of all processes per 1,000 plain executions, until the view and the collector have all of them."""
    with stand(spans=spans) as running:
        asyncio.run(_run(running, WARM_UP))
        before = costs(running.pid)
        asyncio.run(_run(running, items))
        return sum(spent(before, costs(running.pid)).values()) / items * 1000


async def _run(running: Stand, items: int) -> None:
    before = await _received(running)
    await measure.throughput(running, "noop", items, FACTS)
    await _quiet(running)
    if running.sink_url and await _received(running) == before:
        raise SystemExit("no span reached the collector")


async def _quiet(running: Stand) -> None:
    """Wait until the collector gets nothing more; without one for as long as that takes at least."""
    received, since = await _received(running), time.monotonic()
    deadline = since + PATIENCE_SECONDS
    while time.monotonic() < since + QUIET_SECONDS:
        if time.monotonic() > deadline:
            raise SystemExit(f"spans still come {PATIENCE_SECONDS:g} s after the last execution ended")
        await asyncio.sleep(LOOK_SECONDS)
        if (now := await _received(running)) != received:
            received, since = now, time.monotonic()


async def _received(running: Stand) -> int:
    if not running.sink_url:
        return 0
    async with httpx2.AsyncClient() as client:
        return int((await client.get(running.sink_url)).text)
