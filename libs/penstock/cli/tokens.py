"""`penstock tokens`: answering executions that wait for somebody."""

from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.api import segment
from penstock.cli.exchange import order
from penstock.cli.output import Json, parse_json


def complete(
    token: str,
    *,
    result: Annotated[str, Parameter(help="Any JSON: what the function gets.")] = "null",
    as_json: Json = False,
) -> None:
    """Answer whoever waits for TOKEN (the token itself or its address) with a value."""
    _use(token, {"result": parse_json(result, "--result")}, as_json)


def reject(
    token: str,
    *,
    message: Annotated[str, Parameter(help="Why: the function gets it as an error.")] = "",
    as_json: Json = False,
) -> None:
    """Say no to whoever waits for TOKEN (the token itself or its address)."""
    _use(token, {"error": {"message": message}}, as_json)


def _use(token: str, body: dict[str, Any], as_json: bool) -> None:
    path = f"/v1/tokens/{segment(token.rpartition('/')[2])}"
    sentence = "accepted: execution {id} is answered ({outcome})"
    order(path, body, lambda answer: sentence.format_map(answer), as_json=as_json)
