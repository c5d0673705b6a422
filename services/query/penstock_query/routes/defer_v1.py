"""What Defer's older clients read, version 1 of its API: the same executions without an envelope."""

from typing import Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from penstock.defer.ids import attempt_id
from penstock_query.defer.find import Finder
from penstock_query.routes.answers import json_value, positioned
from penstock_query.routes.defer import OPT
from penstock_query.view import View

ONE = "/public/v1/executions/{execution_id:str}"


class Standing(msgspec.Struct, frozen=True):
    """An execution or a try of it."""

    id: str
    state: str


def defer_v1_routes(view: View) -> list[ControllerRouterHandler]:
    """The addresses below /public/v1."""
    finder = Finder(view)

    @get(ONE, opt=OPT, include_in_schema=False)
    async def get_execution(execution_id: FromPath[str]) -> Response[Any]:
        """`id`, `state`, and `result` once there is one; that of a failed execution is its error."""
        outcome = await finder.outcome(execution_id)
        standing = Standing(execution_id, outcome.state)
        if outcome.value is None:
            return positioned(standing, outcome.position)
        around = (msgspec.json.encode(standing)[:-1] + b',"result":', b"}")
        return await json_value(view, outcome.value, outcome.position, around=around)

    @get(f"{ONE}/tries", opt=OPT, include_in_schema=False)
    async def list_tries(execution_id: FromPath[str]) -> Response[list[Standing]]:
        """A bare array, the first try first."""
        history = await finder.history(execution_id)
        chosen = history.attempts if history.chosen is None else [history.chosen]
        tries = [Standing(attempt_id(history.execution.id, each.number), each.state) for each in chosen]
        return positioned(tries, history.execution.sequence)

    return [get_execution, list_tries]
