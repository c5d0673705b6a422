"""`penstock trigger NAME --data JSON`: publish an event over HTTP."""

from typing import Annotated

from cyclopts import Parameter

from penstock.cli.api import Api
from penstock.cli.output import Json, console, parse_json, print_json
from penstock.service.settings import load_settings


def trigger(
    name: str,
    *,
    data: Annotated[str, Parameter(help="The event's data as JSON.")] = "null",
    id: Annotated[  # noqa: A002 - it is the name of the option
        str | None, Parameter(help="The event's id; the same id from the same source is taken once.")
    ] = None,
    source: Annotated[str, Parameter(help="Where the event comes from; only with --id.")] = "penstock-cli",
    as_json: Json = False,
) -> None:
    """Publish the event NAME; every function that subscribes to it starts one execution."""
    value = parse_json(data, "--data")
    body: dict[str, object] = {"name": name, "data": value}
    headers = None
    if id is not None:
        body = {"specversion": "1.0", "id": id, "source": source, "type": name, "data": value}
        headers = {"Content-Type": "application/cloudevents+json"}
    with Api(load_settings(), as_json=as_json) as api:
        answer = api.post("/v1/events", body, headers)
    if as_json:
        print_json(answer)
    else:
        console.print(f"accepted: event {answer['id']} at {answer['sequence']}")
