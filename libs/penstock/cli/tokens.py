"""`penstock tokens`: answering executions that wait for somebody."""

from typing import Annotated, Any

from cyclopts import Parameter

from penstock.cli.api import Api, segment
from penstock.cli.output import Json, console, parse_json, print_json
from penstock.service.settings import load_settings


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
    with Api(load_settings(), as_json=as_json) as api:
        answer = api.post(f"/v1/tokens/{segment(token.rpartition('/')[2])}", body)
    if as_json:
        print_json(answer)
    else:
        console.print(f"accepted: execution {answer['id']} is answered ({answer['outcome']})")
