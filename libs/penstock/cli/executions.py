"""`penstock executions ...`: list them, and change their course."""

from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.api import segment
from penstock.cli.exchange import ask, order, print_page
from penstock.cli.output import Json, clock, console, is_narrow, parse_json, state_text, visible
from penstock.cli.show import show_
from penstock.domain.errors import Rejected

__all__ = ["cancel_", "list_", "rerun_", "reschedule_", "resume_", "send_", "show_", "why_"]

COLUMNS = ("id", "function", "state", "attempt", "created", "took", "error")
NARROW = ("id", "function", "state", "created")
"""What is left where the terminal is narrow; the code of the error then stands below the state."""
CENTURY_AND_YEAR = len("2027-")


def list_(
    *,
    state: Annotated[str | None, Parameter(help="Only this state; several with commas.")] = None,
    function: Annotated[str | None, Parameter(help="Only this function.")] = None,
    metadata: Annotated[list[str] | None, Parameter(negative="", help="NAME=VALUE; may be repeated.")] = None,
    event: Annotated[str | None, Parameter(help="Only those that this event started.")] = None,
    parent: Annotated[str | None, Parameter(help="Only children of this execution.")] = None,
    limit: Annotated[int, Parameter(help="How many.")] = 20,
    cursor: Annotated[str | None, Parameter(help="Where an earlier list ended.")] = None,
    as_json: Json = False,
) -> None:
    """List executions, newest first."""
    params = {**filters(state, function, metadata, event, parent), "limit": str(limit), "cursor": cursor}
    ask("/v1/executions", print_executions, as_json=as_json, params=params)


def print_executions(answer: dict[str, Any]) -> None:
    """A page of executions as a table that fits the terminal."""
    columns, row = (NARROW, _narrow_row) if is_narrow() else (COLUMNS, _row)
    print_page(answer, columns, row, "No execution fits.")


def why_(execution: str, *, as_json: Json = False) -> None:
    """Say why EXECUTION does not run: the rule, who holds the slots, its place, and what would start it."""
    ask(f"/v1/executions/{segment(execution)}/why", _print_why, as_json=as_json)


def _print_why(answer: dict[str, Any]) -> None:
    console.print(f"{answer['state']}: {answer['detail']}", markup=False, soft_wrap=True)
    if answer["position"] is not None:
        console.print(f"place in its line: {answer['position']}")
    if answer["holders"]:
        more = answer["holder_count"] - len(answer["holders"])
        console.print("held by: " + ", ".join(answer["holders"]) + (f" and {more} more" if more > 0 else ""))
    for wait in answer["waits"]:
        console.print(f"waits for: {_wait(wait)}", markup=False, soft_wrap=True)
    moment = f" ({answer['at']})" if answer["at"] else ""
    console.print(f"starts when: {answer['starts_when']}{moment}", markup=False, soft_wrap=True)


def _wait(wait: dict[str, Any]) -> str:
    """One open wait in a line."""
    children = ", ".join(f"{child['id']} ({child['state'] or 'not ended'})" for child in wait["children"])
    parts = (
        f"{wait['step']} ({wait['kind']}): {wait['wakes_when']}",
        f"token {wait['token']}" if wait["token"] else "",
        f"children {children}" if children else "",
        f"one of {', '.join(wait['any_of'])}" if wait["any_of"] else "",
    )
    return visible(" · ".join(part for part in parts if part))


def cancel_(
    execution: str,
    *,
    force: Annotated[bool, Parameter(negative="", help="Leave a running one no time to clean up.")] = False,
    as_json: Json = False,
) -> None:
    """Cancel EXECUTION."""
    _change(execution, "cancel", {"force": force}, as_json)


def rerun_(
    execution: str,
    *,
    from_step: Annotated[
        str | None, Parameter(help="Take over what was finished before this step, and go on from there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a new execution with the function and arguments of EXECUTION."""
    _change(execution, "rerun", {} if from_step is None else {"from_step": from_step}, as_json)


def resume_(execution: str, *, as_json: Json = False) -> None:
    """Let EXECUTION go on, which failed and was paused, now that what made it fail is mended."""
    _change(execution, "resume", {}, as_json)


def send_(
    execution: str,
    *,
    data: Annotated[str, Parameter(help="Any JSON.")] = "null",
    channel: Annotated[str, Parameter(help="The channel of `ctx.receive`.")] = "default",
    message_id: Annotated[str | None, Parameter(name="--id", help="The same id counts once.")] = None,
    as_json: Json = False,
) -> None:
    """Send a message to EXECUTION; it is kept until it is received."""
    body: dict[str, Any] = {"body": parse_json(data, "--data"), "channel": channel}
    if message_id is not None:
        body["id"] = message_id
    path = f"/v1/executions/{segment(execution)}/messages"
    order(path, body, lambda answer: f"accepted: message {answer['id']}", as_json=as_json)


def reschedule_(
    execution: str,
    *,
    delay: Annotated[str | None, Parameter(help="So much from now, such as 10m.")] = None,
    at: Annotated[str | None, Parameter(help="At this instant, such as 2027-01-31T08:00:00Z.")] = None,
    as_json: Json = False,
) -> None:
    """Move the start of EXECUTION; without an option: start it now."""
    body = {name: value for name, value in (("delay", delay), ("at", at)) if value is not None}
    _change(execution, "reschedule", body, as_json)


def _change(execution: str, verb: str, body: dict[str, Any], as_json: bool) -> None:
    path = f"/v1/executions/{segment(execution)}/{verb}"
    order(path, body, lambda answer: f"accepted: execution {answer['id']} ({answer['state']})", as_json=as_json)


def filters(
    state: str | None, function: str | None, metadata: list[str] | None, event: str | None, parent: str | None
) -> dict[str, str]:
    """Options as parameters of the API."""
    named = {"state": state, "function": function, "event_id": event, "parent_id": parent}
    params = {name: value for name, value in named.items() if value is not None}
    for item in metadata or []:
        name, sign, value = item.partition("=")
        if not sign:
            raise Rejected("invalid_option", "--metadata is written NAME=VALUE.")
        params[f"metadata.{name}"] = value
    return params


def _row(execution: dict[str, Any]) -> tuple[Any, ...]:
    error = execution.get("error")
    return (
        execution["id"],
        execution["function"],
        state_text(execution["state"]),
        str(execution["attempt"]),
        clock(execution["created_at"]),
        _took(execution),
        f"{error['code']}: {error['message']}"[:120] if error else "",
    )


def _narrow_row(execution: dict[str, Any]) -> tuple[Any, ...]:
    state, error = state_text(execution["state"]), execution.get("error")
    if error and error["code"] != execution["state"]:
        state.append(f"\n{error['code']}", style="dim")
    created = clock(execution["created_at"])[CENTURY_AND_YEAR:]
    return (execution["id"], execution["function"], state, created)


def _took(execution: dict[str, Any]) -> str:
    start, end = execution.get("started_at"), execution.get("finished_at")
    if not start or not end:
        return ""
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.1f}s"
