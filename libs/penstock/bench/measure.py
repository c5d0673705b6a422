"""The single measurements. Each takes a running stand and answers with numbers; units are in the names."""

import asyncio
import contextlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from penstock.bench.processes import costs, spent
from penstock.bench.stand import Stand, raw_server
from penstock.jetstream.access import OPERATOR, passwords
from penstock.jetstream.connect import Connection
from penstock.jetstream.reader import DirectReader
from penstock.wire.names import TIME_STAMP, Names

BATCH = 1000
BATCHES_AHEAD = 4
POLL_SECONDS = 0.02


class Throughput(msgspec.Struct, frozen=True):
    """Executions from the first request to the last final fact, and what they cost."""

    executions_per_second: float
    cpu_seconds_per_1000: float
    cpu_seconds_per_1000_by_role: dict[str, float]
    view_lag_seconds: float
    resident_megabytes_by_role: dict[str, float]


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from just before the request is sent to the first line of user code, at a steady rate."""

    p50_ms: float
    p99_ms: float


@contextlib.asynccontextmanager
async def operator(stand: Stand) -> AsyncIterator[Connection]:
    """A connection that may look at the streams."""
    connection = Connection("bench")
    password = passwords(Path(stand.data_dir))[OPERATOR]
    await connection.open(f"nats://127.0.0.1:{stand.nats_port}", user=OPERATOR, password=password)
    try:
        yield connection
    finally:
        await connection.close()


async def throughput(stand: Stand, function: str, items: int, facts_per_execution: int) -> Throughput:
    """Enqueue `items` executions in batches over HTTP and wait until the log holds all their facts."""
    stream = Names().executions
    async with operator(stand) as connection, httpx2.AsyncClient(timeout=60, headers=stand.headers) as client:
        before, base = costs(stand.pid), (await connection.js.stream_info(stream)).state.messages
        started = time.perf_counter()
        ahead = asyncio.Semaphore(BATCHES_AHEAD)

        async def post(first: int, count: int) -> None:
            async with ahead:
                body = msgspec.json.encode({"items": [{"args": [number]} for number in range(first, first + count)]})
                answer = await client.post(f"{stand.url}/v1/functions/{function}/executions/batch", content=body)
                verdicts = answer.json()["data"]
                refused = [verdict for verdict in verdicts if verdict["status"] != 202]
                if refused:
                    raise SystemExit(f"refused: {refused[0]}")

        await asyncio.gather(*(post(first, min(BATCH, items - first)) for first in range(0, items, BATCH)))
        state = (await connection.js.stream_info(stream)).state
        while state.messages - base < items * facts_per_execution:
            await asyncio.sleep(POLL_SECONDS)
            state = (await connection.js.stream_info(stream)).state
        seconds = time.perf_counter() - started
        await client.get(f"{stand.url}/v1/executions", params={"after": f"x:{state.last_seq}", "limit": "1"})
        lag = time.perf_counter() - started - seconds
        after = costs(stand.pid)
    by_role = {role: cpu / items * 1000 for role, cpu in spent(before, after).items()}
    resident = {role: cost.resident_bytes / 1e6 for role, cost in after.items()}
    return Throughput(items / seconds, sum(by_role.values()), by_role, lag, resident)


async def latency(stand: Stand, rate: float, seconds: float) -> Latency:
    """Start one execution every 1/rate seconds and ask each when its code began."""
    count = int(rate * seconds)
    async with httpx2.AsyncClient(timeout=60, headers=stand.headers) as client:
        url = f"{stand.url}/v1/functions/clock/executions"

        async def one() -> float:
            answer = await client.post(url, content=msgspec.json.encode({"args": [time.time_ns()]}))
            result = f"{stand.url}{answer.headers['location']}/result"
            while (value := await client.get(result, headers={"Prefer": "wait=10"})).status_code == 202:
                await asyncio.sleep(POLL_SECONDS)
            return float(value.json()) / 1e6

        begun = time.perf_counter()
        tasks = []
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one()))
        found = sorted(await asyncio.gather(*tasks))
    return Latency(statistics.median(found), found[min(len(found) - 1, int(len(found) * 0.99))])


async def warm_start(stand: Stand, function: str, count: int) -> Latency:
    """From the moment at which the log has the runner's `started` to the first line of user code; one at a time.

    The sync to disk and the way of the acknowledgement are part of it, and so is the handing over to a warm process.
    """
    found = []
    async with operator(stand) as connection, httpx2.AsyncClient(timeout=60, headers=stand.headers) as client:
        reader = DirectReader(connection)
        for _ in range(count):
            url = f"{stand.url}/v1/functions/{function}/executions"
            answer = await client.post(url, content=msgspec.json.encode({"args": [0]}))
            execution = f"{stand.url}{answer.headers['location']}"
            while (value := await client.get(f"{execution}/result", headers={"Prefer": "wait=10"})).status_code == 202:
                await asyncio.sleep(POLL_SECONDS)
            facts = (await client.get(f"{execution}/facts")).json()["data"]
            started = next(fact["sequence"] for fact in facts if fact["kind"] == "started")
            stored = await reader.at(Names().executions, int(started.removeprefix("x:")))
            assert stored is not None
            found.append((int(value.json()) - _nanoseconds(stored.headers[TIME_STAMP])) / 1e6)
    found.sort()
    return Latency(statistics.median(found), found[min(len(found) - 1, int(len(found) * 0.99))])


def _nanoseconds(instant: str) -> int:
    """Since the epoch; the server writes up to nine digits."""
    whole, _, fraction = instant.removesuffix("Z").partition(".")
    seconds = round(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0"))


def raw_bound(program: Path, items: int, writes: int) -> dict[str, float]:
    """The frozen raw program against a server of its own with the product's settings; its cost and the server's."""
    with raw_server() as (url, server_pid):
        before = costs(server_pid)
        output = subprocess.run(  # noqa: S603 - the program is the repository's own
            [sys.executable, str(program), "--url", url, "--items", str(items), "--writes", str(writes)],
            check=True, capture_output=True, timeout=600,
        ).stdout  # fmt: skip
        figures: dict[str, float] = msgspec.json.decode(output)
        server = sum(spent(before, costs(server_pid)).values()) / items * 1000
    figures["server_cpu_seconds_per_1000"] = server
    return figures


def http_ingest(stand: Stand, seconds: int, batch: int) -> dict[str, float] | None:
    """Accepted executions per second under wrk with 64 connections; None where wrk is not installed."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return None
    script = Path(stand.data_dir) / f"load-{batch}.lua"
    item = '{"args":[1]}'
    body = item if batch == 1 else '{"items":[' + ",".join([item] * batch) + "]}"
    path = "/v1/functions/parked/executions" + ("" if batch == 1 else "/batch")
    script.write_text(
        f'wrk.method = "POST"\nwrk.path = "{path}"\nwrk.body = [[{body}]]\n'
        f'wrk.headers["Authorization"] = "Bearer {stand.api_key}"\nwrk.headers["Content-Type"] = "application/json"\n'
        "done = function(summary)\n"
        '  io.write(string.format("RESULT %d %d %d\\n", summary.requests, summary.duration, '
        "summary.errors.status + summary.errors.read + summary.errors.timeout))\nend\n"
    )
    before = costs(stand.pid)
    connections = "64" if batch == 1 else "8"
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), "--timeout", "10s", stand.url]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout  # noqa: S603
    requests, duration_us, errors = map(float, output.split("RESULT ")[1].split())
    accepted = (requests - errors) * batch
    product_cpu = sum(spent(before, costs(stand.pid)).values())
    return {
        "accepted_per_second": accepted / (duration_us / 1e6),
        "errors": errors,
        "product_cpu_seconds_per_1000": product_cpu / max(accepted, 1) * 1000,
    }


def medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The median of each figure over the runs."""
    return {key: statistics.median(float(row[key]) for row in rows) for key in rows[0]}
