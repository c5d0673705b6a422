"""`penstock notifications`: what was told to channels, delivering it once more, and trying a rule on the past."""

from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.api import segment
from penstock.cli.errand import run
from penstock.cli.exchange import ask_page, order
from penstock.cli.output import Json, clock, console, fail, print_json, print_table, state_text
from penstock.cli.trial import try_rule
from penstock.service.settings import load_settings

COLUMNS = ("created", "channel", "rule", "state", "text", "last attempt", "id")
NONE = "No notification. Channels and rules stand in notify.toml; see the README."
TRIAL_COLUMNS = ("at", "about", "times", "text")


def list_(
    *,
    state: Annotated[str | None, Parameter(help="due, retrying, sent or dead; several separated by commas.")] = None,
    channel: Annotated[str | None, Parameter(help="Only of these channels.")] = None,
    rule: Annotated[str | None, Parameter(help="Only of these rules.")] = None,
    function: Annotated[str | None, Parameter(help="Only about these functions.")] = None,
    limit: Annotated[int, Parameter(help="At most so many, up to 500.")] = 50,
    cursor: Annotated[str | None, Parameter(help="Go on where the last page ended.")] = None,
    as_json: Json = False,
) -> None:
    """List notifications with what became of them, the latest first."""
    params = {
        "state": state, "channel": channel, "rule": rule, "function": function, "cursor": cursor, "limit": str(limit),
    }  # fmt: skip
    ask_page("/v1/notifications", COLUMNS, _row, NONE, as_json=as_json, params=params)


def replay_(
    notification: Annotated[str | None, Parameter(help="The id of a notification that was told.")] = None,
    *,
    channel: Annotated[str | None, Parameter(help="Only to this channel.")] = None,
    rule: Annotated[str | None, Parameter(help="Try this rule of notify.toml on the log; nothing is sent.")] = None,
    since: Annotated[str, Parameter(help="How far back to try it: a duration, or an instant.")] = "7d",
    as_json: Json = False,
) -> None:
    """Deliver NOTIFICATION once more; or, with --rule, show what a rule would have told, without telling it."""
    if (notification is None) == (rule is None):
        fail("invalid_option", "Name a notification, or a rule with --rule.", as_json=as_json)
    if rule is not None:
        _try(rule, since, as_json)
        return
    assert notification is not None
    body = {"channel": channel} if channel is not None else {}
    path = f"/v1/notifications/{segment(notification)}/replay"
    order(path, body, lambda answer: f"on its way again to {', '.join(answer['channels'])}", as_json=as_json)


def enable_(channel: str, *, as_json: Json = False) -> None:
    """Send to CHANNEL again, whose receiver had answered that it wants nothing more."""
    path = f"/v1/channels/{segment(channel)}/enable"
    order(path, {}, lambda answer: f"channel {answer['channel']} is enabled", as_json=as_json)


def _try(rule: str, since: str, as_json: bool) -> None:
    trial = run(try_rule(load_settings(), rule, since), as_json=as_json)
    if as_json:
        print_json(trial)
        return
    rows = [(clock(each["at"]), each["about"], str(each["count"]), each["text"]) for each in trial["data"]]
    print_table(TRIAL_COLUMNS, rows, f"Rule {rule} would have told nothing.")
    told = "1 notification" if len(rows) == 1 else f"{len(rows)} notifications"
    console.print(f"{told} out of {trial['facts']} facts; nothing was sent.")


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    last = each["attempts"][-1]["detail"] if each["attempts"] else ""
    state = state_text(each["state"])
    return clock(each["created_at"]), each["channel"], each["rule"], state, each["text"], last, each["id"]
