"""`penstock executions tail`: the latest executions, then every change, until Ctrl-C."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
import msgspec
from cyclopts import Parameter
from rich.markup import escape

from penstock.cli.api import Api
from penstock.cli.executions import filters
from penstock.cli.output import Json, clock, console, errors, print_json_line, state_text, visible
from penstock.cli.show import progress_text
from penstock.service.settings import load_settings
from penstock.wire.sse import LAST_EVENT_ID, ServerEvent, ServerEventParser

SHOWN_FIRST = "10"
SILENCE_SECONDS = 45.0
"""The service says something every 15 seconds; what is silent for so long is gone."""
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 1.0


def tail(
    *,
    state: Annotated[str | None, Parameter(help="Only this state; several with commas.")] = None,
    function: Annotated[str | None, Parameter(help="Only this function.")] = None,
    metadata: Annotated[list[str] | None, Parameter(negative="", help="NAME=VALUE; may be repeated.")] = None,
    parent: Annotated[str | None, Parameter(help="Only children of this execution.")] = None,
    limit: Annotated[int, Parameter(help="Leave after so many lines; 0: never.")] = 0,
    as_json: Json = False,
) -> None:
    """Print the latest executions, then one whenever its state, attempt or progress changes, until Ctrl-C."""
    wanted = filters(state, function, metadata, None, parent)
    with Api(load_settings(), as_json=as_json) as api:
        for number, execution in enumerate(_executions(api, wanted), start=1):
            if as_json:
                print_json_line(execution)
            else:
                console.print(_line(execution), soft_wrap=True)
            if number == limit:
                return


def _executions(api: Api, wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
    page = api.get("/v1/executions", {**wanted, "limit": SHOWN_FIRST})
    yield from reversed(page["data"])
    for event in _events(api, wanted, page["sequence"]):
        data = msgspec.json.decode(event.data)
        if event.event == "skipped":
            errors.print(f"Changes from {data['after']} to {data['sequence']} are too long ago to be shown.")
        else:
            yield data


def _events(api: Api, wanted: dict[str, str], position: str) -> Iterator[ServerEvent]:
    """Events after the position. A connection that is lost is made anew, and goes on where it broke off."""
    heard = time.monotonic()
    timeout = httpx2.Timeout(10.0, read=SILENCE_SECONDS)
    while True:
        parser = ServerEventParser(position)
        try:
            headers = {LAST_EVENT_ID: position}
            with api.client.stream("GET", "/v1/stream", params=wanted, headers=headers, timeout=timeout) as response:
                if response.status_code != 200:
                    response.read()
                    api.fail_with(response)
                for chunk in response.iter_bytes():
                    heard = time.monotonic()
                    yield from parser.feed(chunk)
                    position = parser.last_id
        except httpx2.HTTPError:
            if time.monotonic() - heard > PATIENCE_SECONDS:
                # Says what is wrong, and leaves.
                api.get("/v1/executions", {"limit": "1"})
                heard = time.monotonic()
        time.sleep(PAUSE_SECONDS)


def _line(execution: dict[str, Any]) -> str:
    style = state_text(execution["state"]).style or "default"
    attempt = f" attempt {execution['attempt']}" if execution["attempt"] else ""
    said = f"  {escape(visible(progress_text(execution['progress'])))}" if execution["progress"] else ""
    words = f"{execution['function']}  [{style}]{execution['state']}[/{style}]{attempt}{said}"
    return f"{clock(execution['updated_at'])}  {execution['id']}  {words}"
