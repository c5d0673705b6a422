"""What Defer's clients read, version 2 of its API: executions, results, arguments, logs, lists and attempts.

A list is asked for by POST, as the client does it, or by GET with a body, as the documentation of the API says. Our
OpenAPI document leaves all of it out: its form is defined elsewhere.
"""

from typing import Any

import msgspec
from litestar import HttpMethod, Response, get, route
from litestar.params import FromPath
from litestar.types import AnyCallable, ControllerRouterHandler

from penstock.defer.attempts import Attempt
from penstock.defer.shapes import Data, ExecutionShape, attempt_shape, execution_shape
from penstock.domain.errors import Rejected
from penstock.domain.limits import catch_up_seconds_max
from penstock.service.defer import DEFER
from penstock.service.dialect import DIALECT
from penstock_query.defer.conditions import conditions_of
from penstock_query.defer.find import Finder
from penstock_query.defer.paging import PageInfo, page_of, walked
from penstock_query.defer.requests import asked
from penstock_query.defer.values import log_text
from penstock_query.fold import Known
from penstock_query.routes.answers import AnyRequest, json_value, positioned
from penstock_query.view import View

BASE = "/public/v2/executions"
ONE = BASE + "/{execution_id:str}"
OPT = {DIALECT: DEFER}


class ListShape(msgspec.Struct, frozen=True):
    """One page of executions or attempts, newest first."""

    data: list[ExecutionShape]
    page_info: PageInfo


def defer_routes(view: View) -> list[ControllerRouterHandler]:
    """The addresses below /public/v2."""
    return [*_single_routes(view, Finder(view)), *_list_routes(view, Finder(view))]


def _single_routes(view: View, finder: Finder) -> list[ControllerRouterHandler]:
    @get(ONE, opt=OPT, include_in_schema=False)
    async def get_execution(execution_id: FromPath[str]) -> Response[Data]:
        """An execution, or one attempt by its own id."""
        shape, position = await finder.shape(execution_id)
        return positioned(Data(shape), position)

    @get(f"{ONE}/results", opt=OPT, include_in_schema=False)
    async def get_result(execution_id: FromPath[str]) -> Response[Any]:
        """The bare result, or the error of what failed; 202 while there is none yet, 204 if there will never be one."""
        outcome = await finder.outcome(execution_id)
        if outcome.value is not None:
            return await json_value(view, outcome.value, outcome.position)
        return positioned(b"", outcome.position, 202 if outcome.state in ("created", "started") else 204)

    @get(f"{ONE}/arguments", opt=OPT, include_in_schema=False)
    async def get_arguments(execution_id: FromPath[str]) -> Response[bytes]:
        """One array; named arguments are its last element."""
        content, position = await finder.arguments(execution_id)
        answer = positioned(content, position)
        answer.media_type = "application/json"
        return answer

    @get(f"{ONE}/logs", opt=OPT, include_in_schema=False)
    async def get_logs(execution_id: FromPath[str]) -> Response[bytes]:
        """Plain text; 404 as long as there are none."""
        lines = await finder.lines(execution_id)
        if not lines:
            raise Rejected("unknown_execution", f'logs of execution "{execution_id[:80]}" are not available yet')
        return Response(log_text((each.line.at, each.line.text) for each in lines), media_type="text/plain")

    return [get_execution, get_result, get_arguments, get_logs]


def _list_routes(view: View, finder: Finder) -> list[ControllerRouterHandler]:
    async def list_executions(request: AnyRequest) -> Response[ListShape]:
        """`{"page": {"first", "after", "last", "before"}, "filters": {}}`; everything may be left out."""
        wanted, stretch = asked(await request.body(), "x")
        await view.catch_up(catch_up_seconds_max)
        found = await view.reads.walk(conditions_of(wanted), stretch)
        rows, info = page_of(found, _position, stretch, "x")
        return Response(ListShape([execution_shape(each.state) for each in rows], info))

    async def list_attempts(execution_id: FromPath[str], request: AnyRequest) -> Response[ListShape]:
        """The same request and answer as for the list; each attempt has an id of its own."""
        wanted, stretch = asked(await request.body(), "a")
        history = await finder.history(execution_id)
        attempts = history.attempts[::-1] if history.chosen is None else [history.chosen]
        fitting = [each for each in attempts if wanted.fits(history.execution, each)]
        rows, info = page_of(walked(fitting, _number, stretch), _number, stretch, "a")
        return Response(ListShape([attempt_shape(history.execution, each) for each in rows], info))

    return [
        *_by_get_and_post(BASE, list_executions),
        *_by_get_and_post(f"{ONE}/attempts", list_attempts),
    ]


def _by_get_and_post(path: str, answer: AnyCallable) -> list[ControllerRouterHandler]:
    methods = (HttpMethod.GET, HttpMethod.POST)
    return [
        route(path, http_method=each, status_code=200, opt=OPT, include_in_schema=False)(answer) for each in methods
    ]


def _position(row: Known) -> int:
    return row.created_sequence


def _number(attempt: Attempt) -> int:
    return attempt.number
