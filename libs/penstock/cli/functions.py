"""`penstock functions list`: what runners have declared."""

from typing import Any

from penstock.cli.api import Api
from penstock.cli.exchange import print_page
from penstock.cli.limits import print_paused
from penstock.cli.output import Json, print_json
from penstock.domain.limits import page_items_max
from penstock.service.settings import load_settings

COLUMNS = ("function", "starts on", "runs", "retries", "concurrency", "timeout", "version", "runners")


def list_(*, as_json: Json = False) -> None:
    """List functions with what starts them and their options."""
    with Api(load_settings(), as_json=as_json) as api:
        answer = api.get("/v1/functions", {"limit": str(page_items_max)})
        if as_json:
            print_json(answer)
            return
        print_page(answer, COLUMNS, _row, "No function yet. Start a runner: penstock up module:app")
        # The scheduler knows them, which may be away: the list is good without.
        limits = api.look("/v1/limits")
        if limits is not None and limits.status_code < 400:
            print_paused(api.read(limits))


def _row(function: dict[str, Any]) -> tuple[str, ...]:
    on = ", ".join(function.get("on") or []) or "call"
    if function.get("when"):
        on += f" when {function['when']}"
    timeout = function.get("timeout")
    return (
        str(function["name"]),
        on,
        str(function.get("runs", "python")),
        str(function.get("retries", 0)),
        _or_dash(function.get("concurrency")),
        f"{timeout:g}s" if isinstance(timeout, int | float) else _or_dash(timeout),
        _or_dash(function.get("version")),
        _runners(function.get("live")),
    )


def _runners(live: dict[str, int] | None) -> str:
    """How many live; with their versions where there is more than one."""
    if live is None:
        return "?"
    if len(live) < 2:
        return str(sum(live.values()))
    return ", ".join(f"{count} with {version or 'none'}" for version, count in sorted(live.items()))


def _or_dash(value: object) -> str:
    return "-" if value in (None, "") else str(value)
