"""`penstock call FUNCTION --args JSON [--wait]`: start one execution, and perhaps wait for its result."""

import time
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from penstock.cli.api import Api, segment
from penstock.cli.output import Json, console, fail, parse_json, print_json
from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.limits import wait_seconds_max
from penstock.service.settings import load_settings

WAIT_PER_REQUEST = min(20, wait_seconds_max)
AWAY_SECONDS = 60
"""How long the services may be away while a call waits for its end."""


def call(
    function: Annotated[str, Parameter(help="Its name; `penstock functions list` has them.")],
    *,
    args: Annotated[str, Parameter(help="Positional arguments as a JSON array.")] = "[]",
    kwargs: Annotated[str, Parameter(help="Keyword arguments as a JSON object.")] = "{}",
    wait: Annotated[bool, Parameter(negative="", help="Wait for the end and print the result.")] = False,
    timeout: Annotated[str, Parameter(help="How long --wait waits.")] = "1h",
    delay: Annotated[str | None, Parameter(help="Start it so much later, such as 10m.")] = None,
    key: Annotated[str | None, Parameter(help="Idempotency key: the same key starts it once.")] = None,
    metadata: Annotated[list[str] | None, Parameter(negative="", help="NAME=VALUE; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Start one execution of FUNCTION."""
    body = {
        "args": parse_json(args, "--args"),
        "kwargs": parse_json(kwargs, "--kwargs"),
        "options": _options(delay, metadata or []),
    }
    headers = {"Idempotency-Key": key} if key is not None else None
    limit = seconds(timeout, "--timeout")
    with Api(load_settings(), as_json=as_json) as api:
        execution = api.post(f"/v1/functions/{segment(function)}/executions", body, headers)
        if wait:
            _print_end(api, execution, limit, as_json)
            return
    if as_json:
        print_json(execution)
    else:
        console.print(f"accepted: execution {execution['id']} ({execution['state']})")


def _options(delay: str | None, metadata: list[str]) -> dict[str, object]:
    options: dict[str, object] = {}
    if delay is not None:
        options["delay"] = delay
    pairs = [item.partition("=") for item in metadata]
    if any(not sign for _, sign, _ in pairs):
        raise Rejected("invalid_option", "--metadata is written NAME=VALUE.")
    if pairs:
        options["metadata"] = {name: value for name, _, value in pairs}
    return options


def _print_end(api: Api, execution: dict[str, Any], limit: float, as_json: bool) -> None:
    """Ask for the result until it is there; a failed execution leaves the program with its error."""
    answered = time.monotonic()
    deadline = answered + limit
    path = f"/v1/executions/{execution['id']}/result"
    params = {"after": str(execution["sequence"])}
    while True:
        left = min(WAIT_PER_REQUEST, deadline - time.monotonic())
        if left <= 0:
            fail(
                "timed_out",
                f"Execution {execution['id']} is not final after {limit:g} seconds. It goes on.",
                f"See `penstock executions show {execution['id']}`.",
                as_json=as_json,
            )
        answer = api.look(path, params, {"Prefer": f"wait={max(1, int(left))}"})
        if answer is None:
            # It was accepted, so it is there: the services are starting again.
            if time.monotonic() - answered > AWAY_SECONDS:
                fail(
                    "unavailable",
                    f"Nothing has answered for {AWAY_SECONDS} seconds. Execution {execution['id']} was accepted.",
                    f"See `penstock executions show {execution['id']}` when the services are back.",
                    as_json=as_json,
                )
            time.sleep(0.5)
            continue
        response, answered = answer, time.monotonic()
        if response.status_code != 202:
            break
        if "retry-after" in response.headers and response.elapsed.total_seconds() < 0.5:
            # The server did not wait for us: do not ask without a pause.
            time.sleep(0.2)
    result = api.read(response)
    if as_json:
        print_json({"id": execution["id"], "state": "succeeded", "result": result})
    else:
        console.print(f"succeeded: execution {execution['id']}")
        console.print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode(), markup=False)
