"""`penstock bench`: measure this machine, product and raw bound in one run."""

from pathlib import Path
from typing import Any

from penstock.cli.output import Json, console, errors, print_json, print_table
from penstock.domain.errors import Rejected


def bench(
    *,
    items: int = 10_000,
    runs: int = 5,
    history: int = 0,
    quick: bool = False,
    raw: Path | None = None,
    as_json: Json = False,
) -> None:
    """Measure executions per second, latency, CPU and memory, beside the raw bound.

    Parameters
    ----------
    items: Executions in one run.
    runs: Runs of product and raw bound in turn; figures are medians.
    history: Also compare the cost of an execution before and after so many others (such as 1000000).
    quick: One short run of everything, to see that it works.
    raw: The frozen raw program; by default tests/bench/raw.py of a source tree, else the raw bound is left out.
    """
    from penstock.bench.run import Plan, run

    if runs < 1 or items < 1000:
        raise Rejected("invalid_option", "--runs must be 1 or more and --items 1000 or more.")
    program = raw or Path("tests/bench/raw.py")
    if raw is not None and not raw.is_file():
        raise Rejected("invalid_option", f"--raw: there is no file {raw}.")
    plan = Plan(items=items, runs=runs, history=history, raw=program if program.is_file() else None)
    if quick:
        plan = Plan(items=2000, runs=1, latency_seconds=4, ingest_seconds=3, starts=50, raw=plan.raw)
    report = run(plan, lambda what: errors.print(f"measuring {what}", style="dim"))
    if as_json:
        print_json(report)
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    rows: list[tuple[str, str, str, str]] = []
    for name in ("plain", "three_steps"):
        figures, raw = report[name], report[name].get("raw")
        rows.append(
            (
                f"{name.replace('_', ' ')}: executions/s",
                f"{figures['product']['executions_per_second']:,.0f}",
                f"{raw['items_per_second']:,.0f}" if raw else "-",
                f"{figures['share_of_raw']:.0%}" if raw else "-",
            )
        )
        cpu_raw = raw["cpu_seconds_per_1000"] + raw["server_cpu_seconds_per_1000"] if raw else None
        rows.append(
            (
                f"{name.replace('_', ' ')}: CPU s per 1,000",
                f"{figures['product']['cpu_seconds_per_1000']:.3f}",
                f"{cpu_raw:.3f}" if cpu_raw is not None else "-",
                "",
            )
        )
        rows.extend(
            (f"  {role}", f"{cpu:.3f}", "", f"{figures['resident_megabytes_by_role'][role]:.0f} MB")
            for role, cpu in sorted(figures["cpu_seconds_per_1000_by_role"].items())
        )
        rows.append(
            (f"{name.replace('_', ' ')}: view behind, s", f"{figures['product']['view_lag_seconds']:.2f}", "", "")
        )
    latency = report["latency"]
    rows.append(("start latency p50 / p99, ms", f"{latency['p50_ms']:.1f} / {latency['p99_ms']:.1f}", "", ""))
    for name, what in (("warm_async", "async function"), ("warm_plain", "plain function")):
        warm = report[name]
        rows.append((f"warm start, {what}, p50 / p99, ms", f"{warm['p50_ms']:.2f} / {warm['p99_ms']:.2f}", "", ""))
    for name in ("ingest_single", "ingest_batched"):
        found = report[name]
        text = f"{found['accepted_per_second']:,.0f}" if found else "wrk is not installed"
        rows.append((f"HTTP {name.replace('_', ' ')}: accepted/s", text, "", ""))
    if "history" in report:
        history = report["history"]
        text = f"{history['cpu_seconds_per_1000_early']:.3f} -> {history['cpu_seconds_per_1000_late']:.3f}"
        rows.append((f"CPU s per 1,000 after {history['executions']:,}", text, "", ""))
    print_table(("figure", "product", "raw bound", "share / memory"), rows, "nothing measured")
    console.print("Medians; higher is better for /s, lower for CPU and ms.", style="dim")
