"""Many delayed executions due at one instant: how late the last one starts, beside what bare NATS does."""

import asyncio

import httpx2
import msgspec

from penstock.bench.alone import now_us
from penstock.bench.measure import BATCH, BATCHES_AHEAD, operator
from penstock.bench.stand import Stand, raw_server
from penstock.domain.execution.facts import Due, Started
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.timers import JetStreamTimers, WakeUps, instant
from penstock.wire.codec import decode_fact
from penstock.wire.names import START_WAIT, Names

LEAD_SECONDS = 4.0
"""Until the common instant, besides what storing them takes."""
STORED_PER_SECOND = 250
"""What even a busy machine accepts."""
TAKE = 500


class Punctuality(msgspec.Struct, frozen=True):
    """Seconds after the instant; what is negative was early."""

    executions: int
    first_due: float
    last_due: float
    first_started: float
    median_started: float
    last_started: float


async def delayed(stand: Stand, items: int, function: str = "noop") -> Punctuality:
    """Delay `items` executions to one instant over HTTP, and read from the log when each was due and started."""
    names = Names()
    async with operator(stand) as connection:
        log = JetStreamLog(connection, names)
        after = await log.last_sequence()
        at = now_us() + round((LEAD_SECONDS + items / STORED_PER_SECOND) * 1e6)
        await _post(stand, function, items, at)
        due, started = await asyncio.wait_for(_watch(log, after, items), LEAD_SECONDS + items / STORED_PER_SECOND + 120)
    if max(len(due), len(started)) > items:
        raise SystemExit("an execution was started twice")
    starts = sorted(started)
    return Punctuality(
        items, *((each - at) / 1e6 for each in (min(due), max(due), starts[0], starts[items // 2], starts[-1]))
    )


async def _post(stand: Stand, function: str, items: int, at: int) -> None:
    ahead = asyncio.Semaphore(BATCHES_AHEAD)

    async def post(client: httpx2.AsyncClient, first: int, count: int) -> None:
        rows = [{"args": [number], "options": {"at": instant(at)}} for number in range(first, first + count)]
        async with ahead:
            url = f"{stand.url}/v1/functions/{function}/executions/batch"
            answer = await client.post(url, content=msgspec.json.encode({"items": rows}))
        refused = [each for each in answer.json()["data"] if each["status"] != 202]
        if refused:
            raise SystemExit(f"refused: {refused[0]}")

    async with httpx2.AsyncClient(timeout=120, headers=stand.headers) as client:
        await asyncio.gather(*(post(client, first, min(BATCH, items - first)) for first in range(0, items, BATCH)))
    if now_us() > at - 500_000:
        raise SystemExit("storing them took so long that some were late before they were accepted")


async def _watch(log: JetStreamLog, after: int, items: int) -> tuple[list[int], list[int]]:
    """The times of the facts by which they became due and started."""
    due: list[int] = []
    started: list[int] = []
    async for batch in log.follow(after):
        for entry in batch:
            if log.names.parse_fact_subject(entry.subject) is None:
                continue
            fact = decode_fact(entry.data)
            if isinstance(fact, Due):
                due.append(fact.at)
            elif isinstance(fact, Started):
                started.append(fact.at)
        if len(started) >= items:
            break
    return due, started


async def raw_timers(items: int) -> float:
    """Seconds after the instant at which a bare client has the last of so many scheduled messages."""
    with raw_server() as (url, _):
        connection = Connection("bench")
        await connection.open(url)
        try:
            return await _raw(connection, Names(), items)
        finally:
            await connection.close()


async def _raw(connection: Connection, names: Names, items: int) -> float:
    await provision(connection, names)
    timers, wake_ups, seen = JetStreamTimers(connection, names), WakeUps(connection, names), 0
    at = now_us() + round((LEAD_SECONDS + items / STORED_PER_SECOND) * 1e6)
    for first in range(0, items, BATCH):
        numbers = range(first, min(first + BATCH, items))
        await asyncio.gather(*(timers.set(f"{number:032x}", START_WAIT, at) for number in numbers))
    async with asyncio.timeout(60 + items / STORED_PER_SECOND):
        while seen < items:
            fired = await wake_ups.take(TAKE)
            seen += len(fired)
            for each in fired:
                await each.ack()
    seconds = (now_us() - at) / 1e6
    await wake_ups.stop()
    return seconds
