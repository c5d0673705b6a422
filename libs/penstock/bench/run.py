"""The whole benchmark: product and raw bound in alternating runs, and the medians side by side."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from penstock.bench import measure
from penstock.bench.stand import stand

Say = Callable[[str], None]

PLAIN_WRITES = 3
STEPS_WRITES = 6
WARM_UP = 10


class Plan(msgspec.Struct, frozen=True):
    """How much to measure. `raw` is the frozen raw program, or None to leave the raw bound out."""

    items: int = 10_000
    runs: int = 5
    latency_rate: float = 50.0
    latency_seconds: float = 20.0
    ingest_seconds: int = 10
    starts: int = 200
    history: int = 0
    raw: Path | None = None


def run(plan: Plan, say: Say) -> dict[str, Any]:
    """All figures; `say` is told what is being measured."""
    report: dict[str, Any] = {"plan": msgspec.to_builtins(plan, enc_hook=str)}
    report["plain"] = _alternating(plan, "noop", PLAIN_WRITES, say)
    report["three_steps"] = _alternating(plan, "three_steps", STEPS_WRITES, say)
    say(f"start latency at {plan.latency_rate:g}/s")
    with stand() as running:
        asyncio.run(measure.throughput(running, "noop", 1000, PLAIN_WRITES))
        report["latency"] = msgspec.to_builtins(
            asyncio.run(measure.latency(running, plan.latency_rate, plan.latency_seconds))
        )
        for name, function in (("warm_async", "clock"), ("warm_plain", "plain_clock")):
            say(f"warm start of {function}")
            asyncio.run(measure.warm_start(running, function, WARM_UP))
            report[name] = msgspec.to_builtins(asyncio.run(measure.warm_start(running, function, plan.starts)))
    for name, batch in (("ingest_single", 1), ("ingest_batched", 1000)):
        say(f"HTTP ingest, {batch} per request")
        with stand(spans=False) as running:
            report[name] = measure.http_ingest(running, plan.ingest_seconds, batch)
    if plan.history:
        report["history"] = _history(plan, say)
    return report


def _alternating(plan: Plan, function: str, writes: int, say: Say) -> dict[str, Any]:
    """Product and raw bound in turn, so that a noisy minute hits both; medians, and their ratio."""
    product: list[measure.Throughput] = []
    raw: list[dict[str, Any]] = []
    for number in range(plan.runs):
        say(f"{function}: run {number + 1} of {plan.runs}")
        with stand() as running:
            asyncio.run(measure.throughput(running, function, 1000, writes))
            product.append(asyncio.run(measure.throughput(running, function, plan.items, writes)))
        if plan.raw is not None:
            raw.append(measure.raw_bound(plan.raw, plan.items, writes))
    found: dict[str, Any] = {
        "product": measure.medians(
            [
                {
                    "executions_per_second": each.executions_per_second,
                    "cpu_seconds_per_1000": each.cpu_seconds_per_1000,
                    "view_lag_seconds": each.view_lag_seconds,
                }
                for each in product
            ]
        ),
        "cpu_seconds_per_1000_by_role": measure.medians([each.cpu_seconds_per_1000_by_role for each in product]),
        "resident_megabytes_by_role": measure.medians([each.resident_megabytes_by_role for each in product]),
    }
    if raw:
        found["raw"] = measure.medians(raw)
        found["share_of_raw"] = found["product"]["executions_per_second"] / found["raw"]["items_per_second"]
    return found


def _history(plan: Plan, say: Say) -> dict[str, Any]:
    """CPU per 1,000 executions with little and with much history behind them."""
    with stand() as running:
        say("history: the first executions")
        asyncio.run(measure.throughput(running, "noop", 1000, PLAIN_WRITES))
        early = asyncio.run(measure.throughput(running, "noop", plan.items, PLAIN_WRITES))
        say(f"history: filling up to {plan.history}")
        asyncio.run(measure.throughput(running, "noop", plan.history - plan.items - 1000, PLAIN_WRITES))
        late = asyncio.run(measure.throughput(running, "noop", plan.items, PLAIN_WRITES))
    return {
        "executions": plan.history,
        "cpu_seconds_per_1000_early": early.cpu_seconds_per_1000,
        "cpu_seconds_per_1000_late": late.cpu_seconds_per_1000,
    }
