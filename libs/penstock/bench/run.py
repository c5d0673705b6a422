"""The whole benchmark as a table of parts, each measured by itself, product and raw bound in turn."""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from penstock.bench import calendar, delayed, engine, flow, measure, tracing
from penstock.bench.stand import stand
from penstock.domain.errors import Rejected

Say = Callable[[str], None]

ADDITIONS = 2_000_000
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
    waiting: int = 1_000_000
    delayed: int = 5_000
    schedules: int = 100_000
    idle_seconds: float = 60.0
    raw: Path | None = None


QUICK = Plan(
    items=2000, runs=1, latency_seconds=4, ingest_seconds=3, starts=50,
    waiting=20_000, delayed=500, schedules=1000, idle_seconds=5,
)  # fmt: skip


def run(plan: Plan, parts: Iterable[str], say: Say) -> dict[str, Any]:
    """The figures of these parts; `say` is told what is being measured."""
    report: dict[str, Any] = {"plan": msgspec.to_builtins(plan, enc_hook=str), "machine": [machine()]}
    for name in parts:
        say(name.replace("_", " "))
        report[name] = PARTS[name](plan, say)
        report["machine"].append(machine())
    return report


def machine() -> dict[str, float]:
    """How fast a core is just now, and how many would be wanted: what explains figures that differ between runs."""
    began, total = time.process_time(), 0
    for number in range(ADDITIONS):
        total += number
    return {"additions_seconds": (time.process_time() - began) * (10_000_000 / ADDITIONS), "load": os.getloadavg()[0]}


def chosen(only: Iterable[str], plan: Plan) -> list[str]:
    """The parts by their names or those of groups, in order; all that the plan has where none is named.

    Raises Rejected `invalid_option`.
    """
    wanted: set[str] = set()
    for name in only:
        if name not in PARTS and name not in GROUPS:
            known = ", ".join((*GROUPS, *PARTS))
            raise Rejected("invalid_option", f"--only: there is no part {name!r}. Known are {known}.")
        wanted.update(GROUPS.get(name, (name,)))
    if "history" in wanted and not plan.history:
        raise Rejected("invalid_option", "--only history needs --history, such as --history 1000000.")
    return [name for name in PARTS if name in wanted or (not wanted and (name != "history" or plan.history))]


def _plain(plan: Plan, say: Say) -> dict[str, Any]:
    return _alternating(plan, "noop", PLAIN_WRITES, say)


def _three_steps(plan: Plan, say: Say) -> dict[str, Any]:
    return _alternating(plan, "three_steps", STEPS_WRITES, say)


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


def _tracing(plan: Plan, say: Say) -> dict[str, Any]:
    """With and without in turn."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for number in range(plan.runs):
        say(f"tracing: run {number + 1} of {plan.runs}")
        for spans in (False, True):
            found[spans].append(tracing.cpu_per_1000(plan.items, spans=spans))
    with_spans, without = statistics.median(found[True]), statistics.median(found[False])
    return {
        "cpu_seconds_per_1000_with": with_spans,
        "cpu_seconds_per_1000_without": without,
        "share": with_spans / without - 1,
    }


def _latency(plan: Plan, _: Say) -> dict[str, Any]:
    with stand() as running:
        asyncio.run(measure.throughput(running, "noop", 1000, PLAIN_WRITES))
        return _row(asyncio.run(measure.latency(running, plan.latency_rate, plan.latency_seconds)))


def _warm(plan: Plan, function: str) -> dict[str, Any]:
    with stand() as running:
        asyncio.run(measure.warm_start(running, function, WARM_UP))
        return _row(asyncio.run(measure.warm_start(running, function, plan.starts)))


def _ingest(plan: Plan, batch: int) -> dict[str, Any] | None:
    with stand(spans=False) as running:
        return measure.http_ingest(running, plan.ingest_seconds, batch)


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


def _backlog(plan: Plan, say: Say) -> dict[str, Any]:
    found = {}
    for name, keys in (("one_line", 1), ("many_keys", flow.KEYS)):
        say(f"the engine with 100 and {plan.waiting:,} waiting, {keys:,} keys")
        each = engine.backlog(100, plan.waiting, keys, plan.items // 2, plan.runs)
        found[name] = _row(each) | {"growth": each.growth}
    return found


def _admissions(plan: Plan, _: Say) -> dict[str, Any]:
    runs = [_row(asyncio.run(flow.admissions(max(1, plan.items // 5000)))) for _ in range(plan.runs)]
    return measure.medians(runs)


def _restart(plan: Plan, say: Say) -> dict[str, Any]:
    say(f"restart: {plan.waiting:,} executions are stored first")
    return _row(asyncio.run(flow.restart(plan.waiting)))


def _delayed(plan: Plan, say: Say) -> dict[str, Any]:
    """Product and bare timers in turn."""
    product, raw = [], []
    with stand() as running:
        asyncio.run(measure.throughput(running, "noop", 1000, PLAIN_WRITES))
        for number in range(plan.runs):
            say(f"delayed: run {number + 1} of {plan.runs}")
            product.append(_row(asyncio.run(delayed.delayed(running, plan.delayed))))
            raw.append(asyncio.run(delayed.raw_timers(plan.delayed)))
    earliest = min(min(each["first_due"], each["first_started"]) for each in product)
    return measure.medians(product) | {"raw_last": statistics.median(raw), "earliest": earliest}


def _schedules(plan: Plan, _: Say) -> dict[str, Any]:
    found = asyncio.run(calendar.idling(plan.schedules, plan.idle_seconds))
    return _row(found) | {"share_of_a_core": found.share}


def _row(found: msgspec.Struct) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(found)
    return row


PARTS: dict[str, Callable[[Plan, Say], Any]] = {
    "plain": _plain,
    "three_steps": _three_steps,
    "tracing": _tracing,
    "latency": _latency,
    "warm_async": lambda plan, _: _warm(plan, "clock"),
    "warm_plain": lambda plan, _: _warm(plan, "plain_clock"),
    "ingest_single": lambda plan, _: _ingest(plan, 1),
    "ingest_batched": lambda plan, _: _ingest(plan, 1000),
    "backlog": _backlog,
    "admissions": _admissions,
    "restart": _restart,
    "delayed": _delayed,
    "schedules": _schedules,
    "history": _history,
}

GROUPS = {
    "throughput": ("plain", "three_steps", "latency", "warm_async", "warm_plain", "ingest_single", "ingest_batched"),
    "flow": ("backlog", "admissions", "restart"),
    "time": ("delayed", "schedules"),
}
