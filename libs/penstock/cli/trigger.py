"""`penstock trigger NAME --data JSON`: publish an event over HTTP."""

from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.exchange import order
from penstock.cli.output import Json, parse_json


def trigger(
    name: Annotated[str, Parameter(help="The event's name, such as order.created.")],
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
    order(
        "/v1/events", body, _sentence, as_json=as_json, headers=headers,
    )  # fmt: skip


def _sentence(answer: dict[str, Any]) -> str:
    accepted = f"accepted: event {answer['id']} at {answer['sequence']}"
    return f"{accepted}\nwhat it starts: penstock executions list --event {answer['id']}"
