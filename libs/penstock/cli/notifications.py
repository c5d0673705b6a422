"""`penstock notifications`: what was told to channels, delivering it once more, and trying a rule on the past."""

import asyncio
from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.api import Api, segment
from penstock.cli.output import Json, console, fail, fail_with, print_json, print_table, state_text
from penstock.cli.trial import try_rule
from penstock.domain.errors import Rejected
from penstock.jetstream.refused import StartRefused
from penstock.ports import Unavailable
from penstock.service.settings import load_settings

COLUMNS = ("created", "channel", "rule", "state", "text", "last attempt", "id")
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
    wanted = {"state": state, "channel": channel, "rule": rule, "function": function, "cursor": cursor}
    params = {"limit": str(limit), **{name: value for name, value in wanted.items() if value is not None}}
    with Api(load_settings(), as_json=as_json) as api:
        answer = api.get("/v1/notifications", params)
    if as_json:
        print_json(answer)
        return
    rows = [_row(each) for each in answer["data"]]
    print_table(COLUMNS, rows, "No notification. Channels and rules stand in notify.toml; see the README.")
    if answer.get("next"):
        console.print(f"more: --cursor {answer['next']}", soft_wrap=True)


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
    with Api(load_settings(), as_json=as_json) as api:
        answer = api.post(f"/v1/notifications/{segment(notification)}/replay", body)
    if as_json:
        print_json(answer)
    else:
        console.print(f"on its way again to {', '.join(answer['channels'])}")


def enable_(channel: str, *, as_json: Json = False) -> None:
    """Send to CHANNEL again, whose receiver had answered that it wants nothing more."""
    with Api(load_settings(), as_json=as_json) as api:
        answer = api.post(f"/v1/channels/{segment(channel)}/enable", {})
    if as_json:
        print_json(answer)
    else:
        console.print(f"channel {answer['channel']} is enabled")


def _try(rule: str, since: str, as_json: bool) -> None:
    try:
        trial = asyncio.run(try_rule(load_settings(), rule, since))
    except Rejected as error:
        fail_with(error, as_json=as_json)
    except StartRefused as refusal:
        fail(refusal.code, refusal.detail, refusal.remedy, as_json=as_json)
    except Unavailable as error:
        fail("unavailable", str(error), "Start `penstock up`, or correct PENSTOCK_NATS_URL.", as_json=as_json)
    if as_json:
        print_json(trial)
        return
    rows = [(_clock(each["at"]), each["about"], str(each["count"]), each["text"]) for each in trial["data"]]
    print_table(TRIAL_COLUMNS, rows, f"Rule {rule} would have told nothing.")
    told = "1 notification" if len(rows) == 1 else f"{len(rows)} notifications"
    console.print(f"{told} out of {trial['facts']} facts; nothing was sent.")


def _row(each: dict[str, Any]) -> tuple[Any, ...]:
    last = each["attempts"][-1]["detail"] if each["attempts"] else ""
    state = state_text(each["state"])
    return _clock(each["created_at"]), each["channel"], each["rule"], state, each["text"], last, each["id"]


def _clock(instant: str) -> str:
    return instant.replace("T", " ")[:19] + "Z"
