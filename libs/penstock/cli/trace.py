"""`penstock trace export`: make spans of the recorded log once more and send them, as into an empty collector."""

from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.errand import run
from penstock.cli.output import Json, console, fail, print_json
from penstock.cli.retrace import Wanted, retrace
from penstock.service.settings import load_settings


def export_(
    *,
    since: Annotated[
        str | None, Parameter(help="A duration (2h), an instant, or a position in the log (x:42).")
    ] = None,
    until: Annotated[str | None, Parameter(help="The same; without it up to now.")] = None,
    execution: Annotated[str | None, Parameter(help="Only this execution, from its beginning.")] = None,
    endpoint: Annotated[
        str | None, Parameter(help="Base URL of a collector (OTLP over HTTP), instead of that of OTEL_*.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send the spans of all executions with facts in that time. They are the same as the first time."""
    if since is None and execution is None:
        fail("invalid_option", "Say how far back: --since 2h, or one execution with --execution ID.", as_json=as_json)
    wanted = Wanted(since, until, execution, endpoint)
    remedy = "Start what does not answer, or correct its address."
    report = run(retrace(load_settings(), wanted), as_json=as_json, remedy=remedy)
    if as_json:
        print_json(report)
    else:
        console.print(_sentence(report), markup=False, soft_wrap=True)


def _sentence(report: dict[str, Any]) -> str:
    spans, executions = (_counted(report[name], name) for name in ("spans", "executions"))
    left_out = f"; the collector refused {report['refused']}" if report["refused"] else ""
    return f"{spans} of {executions} sent to {report['endpoint']} ({report['from']} to {report['to']}){left_out}"


def _counted(count: int, things: str) -> str:
    return f"1 {things[:-1]}" if count == 1 else f"{count} {things}"
