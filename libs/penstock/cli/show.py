"""`penstock executions show ID`: one execution with everything that is known about it."""

from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text

from penstock.cli.api import Api, segment
from penstock.cli.output import Json, console, print_json, print_table, state_text, visible
from penstock.domain.limits import page_items_max
from penstock.service.settings import load_settings

FIELDS = (
    "id",
    "function",
    "version",
    "attempt",
    "created_at",
    "scheduled_at",
    "started_at",
    "finished_at",
    "event_id",
    "parent_id",
    "rerun_of",
    "restarted_from",
    "trace_id",
    "trace_url",
    "page",
    "sequence",
)
RESULT_CHARS_MAX = 2000
CELL_CHARS_MAX = 120
STEP_COLUMNS = ("step", "kind", "state", "attempt", "started_at", "finished_at", "detail")


def show_(
    execution: str,
    *,
    logs: Annotated[bool, Parameter(negative="", help="With the lines that the function wrote.")] = False,
    as_json: Json = False,
) -> None:
    """Show EXECUTION with its arguments, result, attempts, steps and facts."""
    path, settings = f"/v1/executions/{segment(execution)}", load_settings()
    cut: list[str] = []
    with Api(settings, as_json=as_json) as api:
        shown = dict(api.get(path))
        shown["page"] = f"{settings.page_url}/executions/{shown['id']}"
        shown["arguments"] = api.get(f"{path}/arguments")
        if shown["state"] == "succeeded":
            shown["result"] = api.get(f"{path}/result")
        for part in ("attempts", "steps", "facts", *(("logs",) if logs else ())):
            page = api.get(f"{path}/{part}", {"limit": str(page_items_max)})
            shown[part] = page["data"]
            if page["next"]:
                cut.append(part)
    if as_json:
        print_json(shown)
        return
    _print(shown)
    for part in cut:
        console.print(f"\nThese are the first {page_items_max} {part}; the rest is at {path}/{part}.", soft_wrap=True)


def _print(shown: dict[str, Any]) -> None:
    rows = [(field, str(shown[field])) for field in FIELDS if shown.get(field) not in (None, "")]
    rows += [(f"metadata.{name}", value) for name, value in shown.get("metadata", {}).items()]
    if shown.get("progress"):
        rows.append(("progress", progress_text(shown["progress"])))
    print_table(("field", "value"), [("state", state_text(shown["state"])), *rows], "")
    _print_value("arguments", shown["arguments"])
    if "result" in shown:
        _print_value("result", shown["result"])
    if shown.get("error"):
        error = shown["error"]
        console.print(Text.assemble(("\nerror ", "bold"), visible(f"{error['code']} {error['type']}")))
        console.print(visible(error["stack"] or error["message"]).rstrip(), markup=False, soft_wrap=True)
    for part in ("attempts", "steps", "facts", "logs"):
        if not shown.get(part):
            continue
        console.print(f"\n[bold]{part}[/bold]")
        if part == "steps":
            print_table(STEP_COLUMNS, [_step(step) for step in shown[part]], "")
        else:
            _print_records(shown[part])


def progress_text(progress: dict[str, Any]) -> str:
    """How far it is, in words."""
    total = f" of {progress['total']:g}" if progress["total"] is not None else ""
    return f"{progress['done']:g}{total}" + (f": {progress['note']}" if progress["note"] else "")


def _step(step: dict[str, Any]) -> tuple[str, ...]:
    state = (
        step["state"] if step["outcome"] in (None, "completed", "children") else f"{step['state']}: {step['outcome']}"
    )
    attempt = "taken over" if step["inherited"] else str(step["attempt"])
    return (
        step["step"], step["kind"], state, attempt, step["started_at"], step["finished_at"] or "", _detail(step),
    )  # fmt: skip


def _detail(step: dict[str, Any]) -> str:
    """What its kind and state make worth knowing."""
    if step["error"]:
        tries = f" (failed {step['failures']} times)" if step["failures"] > 1 else ""
        again = f", again at {step['retry_at']}" if step["retry_at"] else ""
        return _cell(step["error"]) + tries + again
    if step["children"]:
        words = (f"{child['function']} {child['id']} {child['state'] or '...'}" for child in step["children"])
        return ", ".join(words)[:RESULT_CHARS_MAX]
    if step["state"] == "waiting":
        match = f" {msgspec.json.encode(step['match']).decode()}" if step["match"] else ""
        until = f" until {step['until']}" if step["until"] else ""
        return f"{step['name'] or ''}{match}{until}".strip()
    return "" if step["result"] is None else msgspec.json.encode(step["result"]).decode()[:CELL_CHARS_MAX]


def _print_value(title: str, value: Any) -> None:
    text = msgspec.json.encode(value).decode()
    if len(text) > RESULT_CHARS_MAX:
        text = f"{text[:RESULT_CHARS_MAX]} ... ({len(text)} characters; --json prints all)"
    console.print(f"\n[bold]{title}[/bold]")
    console.print(text, markup=False, soft_wrap=True)


def _print_records(records: list[dict[str, Any]]) -> None:
    """Records as a table of the members that any of them has, in their order; long values are cut."""
    columns: dict[str, None] = {}
    for record in records:
        columns.update(dict.fromkeys(name for name, value in record.items() if _is_shown(name, value)))
    print_table(tuple(columns), [tuple(_cell(record.get(name)) for name in columns) for record in records], "")


def _is_shown(name: str, value: Any) -> bool:
    return name == "error" or not isinstance(value, dict | list)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value.get('code', '')}: {value.get('message', '')}"[:CELL_CHARS_MAX]
    return "" if value is None else str(value)[:CELL_CHARS_MAX]
