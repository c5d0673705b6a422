"""`penstock limits ...` and pausing: what flow control is told while everything runs."""

import getpass
from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.api import segment
from penstock.cli.exchange import ask, order
from penstock.cli.output import Json, console, print_table
from penstock.domain.errors import Rejected

Author = Annotated[str | None, Parameter(help="Who does it; by default the name of the user.")]
Key = Annotated[str, Parameter(help="Only executions with this concurrency key.")]

TARGETS = "environment, function:NAME, limit:NAME, throttle:NAME or rate_limit:NAME"
KINDS = {"function": "functions", "limit": "shared", "throttle": "throttles", "rate_limit": "rate-limits"}


def list_(*, as_json: Json = False) -> None:
    """List limits with what they are now, what was declared, and how many use them."""
    ask("/v1/limits", _print_limits, as_json=as_json)


def _print_limits(answer: dict[str, Any]) -> None:
    rows = [_row(limit) for limit in answer["limits"]]
    print_table(("target", "limit", "declared", "used"), rows, "No limit is declared or set.")
    print_paused(answer)
    for function, count in answer["waiting"].items():
        console.print(f"waiting: {count} of {function}")


def print_paused(answer: dict[str, Any]) -> None:
    """A line for each pause in an answer of /v1/limits."""
    for pause in answer["paused"]:
        what = pause["function"] or "the environment"
        console.print(f"paused: {what}" + (f", key {pause['key']}" if pause.get("key") else ""), markup=False)


def set_(
    target: Annotated[str, Parameter(help=f"What it is a limit of: {TARGETS}.")],
    limit: Annotated[str, Parameter(help="A number; `default` takes an earlier change back.")],
    *,
    author: Author = None,
    as_json: Json = False,
) -> None:
    """Set the limit of TARGET to LIMIT."""
    if limit != "default" and not limit.isdecimal():
        raise Rejected("invalid_option", f"The limit is a number or `default`, not {limit!r:.80}.")
    path = "/v1/limits/environment"
    if target != "environment":
        kind, _, name = target.partition(":")
        if kind not in KINDS or not name:
            raise Rejected("invalid_option", f"{target!r:.80} is no target. Write {TARGETS}.")
        path = f"/v1/limits/{KINDS[kind]}/{segment(name)}"
    body = {"limit": None if limit == "default" else int(limit), "author": author or getpass.getuser()}
    order(path, body, lambda answer: f"limit of {answer['target']}: {limit}", as_json=as_json, method="PUT")


def pause(function: str, *, key: Key = "", author: Author = None, as_json: Json = False) -> None:
    """Start nothing more of FUNCTION; what comes is kept."""
    _switch(f"/v1/functions/{segment(function)}/pause", key, author, as_json)


def resume(function: str, *, key: Key = "", author: Author = None, as_json: Json = False) -> None:
    """End a pause of FUNCTION."""
    _switch(f"/v1/functions/{segment(function)}/resume", key, author, as_json)


def pause_all(*, author: Author = None, as_json: Json = False) -> None:
    """Start nothing more in the environment; what comes is kept."""
    _switch("/v1/environment/pause", "", author, as_json)


def resume_all(*, author: Author = None, as_json: Json = False) -> None:
    """End a pause of the environment."""
    _switch("/v1/environment/resume", "", author, as_json)


def _switch(path: str, key: str, author: str | None, as_json: bool) -> None:
    verb, of_key = path.rpartition("/")[2], f", key {key}" if key else ""
    body = {"key": key, "author": author or getpass.getuser()}
    order(path, body, lambda answer: f"{verb}d: {answer['target']}{of_key}", as_json=as_json)


def _row(limit: dict[str, Any]) -> tuple[str, ...]:
    period = f" in {limit['period']:g}s" if limit.get("period") else ""
    keys = f" ({len(limit['keys'])} keys)" if limit["keys"] else ""
    declared = "-" if limit["declared"] is None else str(limit["declared"])
    return (limit["target"], f"{limit['limit']}{period}", declared, f"{limit['used']}{keys}")
