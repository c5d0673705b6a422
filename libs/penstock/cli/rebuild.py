"""`penstock rebuild`: make the view anew from the log beside the live one, and prove that both are equal."""

from contextlib import AsyncExitStack
from importlib.metadata import entry_points
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from penstock.cli.errand import run
from penstock.cli.output import Json, console, errors, print_json, print_table
from penstock.jetstream.log import JetStreamLog
from penstock.service.access import open_connection, read_passwords
from penstock.service.settings import Settings, load_settings
from penstock.wire.names import Names

GROUP = "penstock.views"
"""Entry points of functions that rebuild a view, each under the name of its service."""

DIFFERENCES_SHOWN_MAX = 20


def rebuild(
    *,
    switch: Annotated[bool, Parameter(negative="", help="Put the rebuilt view in the place of the live one.")] = False,
    as_json: Json = False,
) -> None:
    """Rebuild the view and compare it row by row. Exit code 1 if there is a difference; the live view may go on."""
    report = run(_rebuild(load_settings(), switch, quiet=as_json), as_json=as_json)
    if as_json:
        print_json(report)
    else:
        _print(report)
    raise SystemExit(0 if report["equal"] else 1)


async def _rebuild(settings: Settings, switch: bool, *, quiet: bool) -> dict[str, Any]:
    (point,) = entry_points(group=GROUP)
    names = Names(settings.env)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with AsyncExitStack() as stack:
        connection = await open_connection(stack, settings, read_passwords(settings), point.name, "rebuild")
        log = JetStreamLog(connection, names)
        stack.push_async_callback(log.close)
        progress = stack.enter_context(Progress(*columns, console=errors, disable=quiet, transient=True))
        task = progress.add_task("reading the log", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        report = await point.load()(log, settings, names, progress=advance, switch=switch)
    built: dict[str, Any] = msgspec.to_builtins(report)
    return built


def _print(report: dict[str, Any]) -> None:
    rows = [
        (name, str(table["live"]), str(table["rebuilt"]), str(table["differing"]))
        for name, table in report["tables"].items()
    ]
    print_table(("table", "live rows", "rebuilt rows", "different"), rows, "")
    for each in report["differences"][:DIFFERENCES_SHOWN_MAX]:
        console.print(f"{each['kind']}: {each['table']} {each['key']}", markup=False)
    if report["gaps"]:
        console.print(f"the log lacks entries: {report['gaps']}", markup=False)
    if report["quarantined"]:
        console.print(f"{report['quarantined']} facts could not be read and are kept aside")
    verdict = "equal" if report["equal"] else f"{report['differing']} rows differ"
    console.print(f"{verdict} up to x:{report['sequence']}")
    if report["switched"]:
        console.print("The rebuilt view is live now.")
    if not report["equal"] and not report["switched"]:
        console.print("what to do: `penstock rebuild --switch` puts the rebuilt view in place.")
