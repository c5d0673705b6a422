"""`penstock bench`: measure this machine, product and raw bound in one run."""

from pathlib import Path

from msgspec.structs import replace

from penstock.cli.output import Json, console, errors, print_json, print_table
from penstock.domain.errors import Rejected


def bench(
    *,
    only: list[str] | None = None,
    items: int = 10_000,
    runs: int = 5,
    history: int = 0,
    quick: bool = False,
    raw: Path | None = None,
    as_json: Json = False,
) -> None:
    """Measure executions per second, latency, flow control, time, CPU and memory, beside the raw bound.

    Parameters
    ----------
    only: A part, such as `delayed`, or a group of them: throughput, flow, time. May be given several times.
    items: Executions in one run.
    runs: Runs of product and raw bound in turn; figures are medians.
    history: Also compare the cost of an execution before and after so many others (such as 1000000).
    quick: One short run of everything, to see that it works.
    raw: The frozen raw program; by default tests/bench/raw.py of a source tree, else the raw bound is left out.
    """
    from penstock.bench.rows import rows
    from penstock.bench.run import QUICK, Plan, chosen, run

    if runs < 1 or items < 1000:
        raise Rejected("invalid_option", "--runs must be 1 or more and --items 1000 or more.")
    program = raw or Path("tests/bench/raw.py")
    if raw is not None and not raw.is_file():
        raise Rejected("invalid_option", f"--raw: there is no file {raw}.")
    found = program if program.is_file() else None
    plan = replace(QUICK, raw=found) if quick else Plan(items=items, runs=runs, history=history, raw=found)
    report = run(plan, chosen(only or (), plan), lambda what: errors.print(f"measuring {what}", style="dim"))
    if as_json:
        print_json(report)
        return
    print_table(("figure", "product", "raw bound", "besides"), rows(report), "nothing measured")
    console.print("Medians; higher is better for /s, lower for CPU and time.", style="dim")
