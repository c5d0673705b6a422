"""`penstock schedules`: what starts by the clock, what became of each tick, and steering it."""

from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.api import Api, segment
from penstock.cli.exchange import ask_page, order
from penstock.cli.output import Json, clock, console, print_json, print_table
from penstock.service.settings import load_settings

COLUMNS = ("schedule", "function", "when", "state", "next", "last")
TICK_COLUMNS = ("tick", "outcome", "reason", "late", "count", "execution")
FIELDS = ("function", "state", "summary", "cron", "every", "timezone", "catch_up", "overlap", "jitter", "source")


def list_(
    *,
    limit: Annotated[int, Parameter(help="At most so many, up to 500.")] = 50,
    cursor: Annotated[str | None, Parameter(help="Go on where the last page ended.")] = None,
    as_json: Json = False,
) -> None:
    """List schedules with their next tick."""
    params = {"limit": str(limit), "cursor": cursor}
    ask_page(
        "/v1/schedules", COLUMNS, _row, "No schedule yet. Declare one with @app.cron.", as_json=as_json, params=params
    )


def show_(
    key: str,
    *,
    ticks: Annotated[int, Parameter(help="How many of the latest ticks, up to 500.")] = 20,
    as_json: Json = False,
) -> None:
    """Show schedule KEY with its next ticks and what became of the latest ones."""
    path = f"/v1/schedules/{segment(key)}"
    with Api(load_settings(), as_json=as_json) as api:
        shown = dict(api.get(path))
        shown["ticks"] = api.get(f"{path}/ticks", {"limit": str(ticks)})["data"]
    if as_json:
        print_json(shown)
        return
    rows = [(field, str(shown[field])) for field in FIELDS if shown.get(field) not in (None, "")]
    rows += [("next" if not number else "", clock(tick)) for number, tick in enumerate(shown["next_ticks"])]
    print_table(("field", "value"), rows, "")
    console.print("\n[bold]ticks[/bold]")
    print_table(TICK_COLUMNS, [_tick(tick) for tick in shown["ticks"]], "None yet.")


def pause_(key: str, *, as_json: Json = False) -> None:
    """Skip the ticks of schedule KEY until it is resumed."""
    _change(key, "pause", as_json)


def resume_(key: str, *, as_json: Json = False) -> None:
    """Let schedule KEY tick again."""
    _change(key, "resume", as_json)


def trigger_(key: str, *, as_json: Json = False) -> None:
    """Start an execution of schedule KEY now."""
    path = f"/v1/schedules/{segment(key)}/trigger"
    order(path, {}, lambda answer: f"accepted: execution {answer['id']} ({answer['state']})", as_json=as_json)


def backfill_(
    key: str,
    *,
    start: Annotated[str, Parameter(name="--from", help="First instant, such as 2027-01-01T00:00:00Z.")],
    to: Annotated[str, Parameter(help="Last instant.")],
    as_json: Json = False,
) -> None:
    """Make up for the ticks of schedule KEY in a span of the past."""
    path, body = f"/v1/schedules/{segment(key)}/backfill", {"from": start, "to": to}
    order(path, body, lambda answer: f"accepted: {answer['ticks']} ticks of {answer['key']}", as_json=as_json)


def _change(key: str, verb: str, as_json: bool) -> None:
    path = f"/v1/schedules/{segment(key)}/{verb}"
    order(path, {}, lambda answer: f"schedule {answer['key']} is {answer['state']}", as_json=as_json)


def _row(schedule: dict[str, Any]) -> tuple[str, ...]:
    when = f"every {schedule['every']}" if schedule["every"] else f"{schedule['cron']} ({schedule['timezone']})"
    coming = clock(schedule["next_ticks"][0]) if schedule["next_ticks"] else "-"
    last = clock(schedule["last_tick"]) if schedule["last_tick"] else "-"
    return schedule["key"], schedule["function"], when, schedule["state"], coming, last


def _tick(tick: dict[str, Any]) -> tuple[str, ...]:
    return (
        clock(tick["tick"]),
        tick["outcome"],
        tick["reason"] or "",
        f"{tick['late_ms']}ms" if tick["execution_id"] else "",
        str(tick.get("count", 1)),
        tick["execution_id"] or "",
    )
