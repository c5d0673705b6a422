"""The report as rows of a table: figure, product, raw bound, and what else belongs to it."""

from collections.abc import Callable
from typing import Any

Row = tuple[str, str, str, str]


def rows(report: dict[str, Any]) -> list[Row]:
    """All figures that the report has, in its order."""
    found: list[Row] = []
    for name, figures in report.items():
        if name in _ROWS:
            found += _ROWS[name](name.replace("_", " "), figures)
    return found


def _machine(_: str, looks: list[dict[str, float]]) -> list[Row]:
    seconds, loads = [each["additions_seconds"] for each in looks], [each["load"] for each in looks]
    return [
        (
            "this machine: s of CPU for 10,000,000 additions in Python",
            f"{min(seconds):.1f} to {max(seconds):.1f}",
            "",
            f"load {min(loads):.1f} to {max(loads):.1f}",
        )
    ]


def _throughput(name: str, figures: dict[str, Any]) -> list[Row]:
    raw = figures.get("raw")
    cpu_raw = raw["cpu_seconds_per_1000"] + raw["server_cpu_seconds_per_1000"] if raw else None
    product = figures["product"]
    return [
        (
            f"{name}: executions/s",
            f"{product['executions_per_second']:,.0f}",
            f"{raw['items_per_second']:,.0f}" if raw else "-",
            f"{figures['share_of_raw']:.0%}" if raw else "-",
        ),
        (
            f"{name}: CPU s per 1,000",
            f"{product['cpu_seconds_per_1000']:.3f}",
            f"{cpu_raw:.3f}" if cpu_raw is not None else "-",
            "",
        ),
        *(
            (f"  {role}", f"{cpu:.3f}", "", f"{figures['resident_megabytes_by_role'][role]:.0f} MB")
            for role, cpu in sorted(figures["cpu_seconds_per_1000_by_role"].items())
        ),
        (f"{name}: view behind, s", f"{product['view_lag_seconds']:.2f}", "", ""),
    ]


def _tracing(_: str, figures: dict[str, Any]) -> list[Row]:
    with_spans, without = figures["cpu_seconds_per_1000_with"], figures["cpu_seconds_per_1000_without"]
    text = f"{with_spans:.3f} ({without:.3f} without)"
    return [("tracing every execution: CPU s per 1,000", text, "", f"{figures['share']:+.0%}")]


def _latency(_: str, figures: dict[str, Any]) -> list[Row]:
    return [("start latency p50 / p99, ms", f"{figures['p50_ms']:.1f} / {figures['p99_ms']:.1f}", "", "")]


def _warm(name: str, figures: dict[str, Any]) -> list[Row]:
    what = "async function" if name == "warm async" else "plain function"
    return [(f"warm start, {what}, p50 / p99, ms", f"{figures['p50_ms']:.2f} / {figures['p99_ms']:.2f}", "", "")]


def _ingest(name: str, figures: dict[str, Any] | None) -> list[Row]:
    text = f"{figures['accepted_per_second']:,.0f}" if figures else "wrk is not installed"
    return [(f"HTTP {name}: accepted/s", text, "", "")]


def _backlog(_: str, figures: dict[str, Any]) -> list[Row]:
    return [
        (
            f"CPU µs per admission, {each['keys']:,} keys: {each['small']:,} / {each['large']:,} waiting",
            f"{each['small_us']:.1f} / {each['large_us']:.1f}",
            "",
            f"{each['growth']:+.0%}",
        )
        for each in figures.values()
    ]


def _admissions(_: str, figures: dict[str, Any]) -> list[Row]:
    what = f"admissions/s, {figures['keys']:,.0f} keys"
    return [(what, f"{figures['per_second']:,.0f}", "", f"{figures['scheduler_cpu_us']:.0f} µs CPU each")]


def _restart(_: str, figures: dict[str, Any]) -> list[Row]:
    what = f"restart with {figures['waiting']:,} waiting: decides after, s"
    more = f"{figures['cpu_seconds']:.1f} s CPU, {figures['resident_megabytes']:.0f} MB"
    return [(what, f"{figures['decides_after_seconds']:.1f}", "", more)]


def _delayed(_: str, figures: dict[str, Any]) -> list[Row]:
    last, raw = figures["last_started"], figures["raw_last"]
    return [
        (
            f"{figures['executions']:,.0f} due at one instant: last started, s",
            f"{last:.2f}",
            f"{raw:.2f}",
            f"{last / raw:.1f} times; the earliest {figures['earliest'] * 1000:+.0f} ms",
        ),
        ("  last made runnable, s", f"{figures['last_due']:.2f}", "", ""),
    ]


def _schedules(_: str, figures: dict[str, Any]) -> list[Row]:
    what = f"{figures['schedules']:,} idle schedules: CPU s in the {figures['seconds']:.0f} s after a start"
    with_them, without = figures["with_schedules"], figures["without_schedules"]
    return [(what, f"{with_them:.2f} ({without:.2f} without)", "", f"{figures['share_of_a_core']:.2%} of a core")]


def _history(_: str, figures: dict[str, Any]) -> list[Row]:
    text = f"{figures['cpu_seconds_per_1000_early']:.3f} -> {figures['cpu_seconds_per_1000_late']:.3f}"
    return [(f"CPU s per 1,000 after {figures['executions']:,}", text, "", "")]


_ROWS: dict[str, Callable[[str, Any], list[Row]]] = {
    "machine": _machine,
    "plain": _throughput,
    "three_steps": _throughput,
    "tracing": _tracing,
    "latency": _latency,
    "warm_async": _warm,
    "warm_plain": _warm,
    "ingest_single": _ingest,
    "ingest_batched": _ingest,
    "backlog": _backlog,
    "admissions": _admissions,
    "restart": _restart,
    "delayed": _delayed,
    "schedules": _schedules,
    "history": _history,
}
