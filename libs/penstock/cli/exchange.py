"""One question to the API and its answer on the terminal: with --json as it came, otherwise as people read it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.text import Text

from penstock.cli.api import Api
from penstock.cli.output import console, print_json, print_table
from penstock.service.settings import load_settings

Row = Sequence[str | Text]


def ask(
    path: str, show: Callable[[Any], None], *, as_json: bool, params: Mapping[str, str | None] | None = None
) -> None:
    """GET; parameters that are None are left out. Leaves the program with the problem if there is one."""
    given = {name: value for name, value in (params or {}).items() if value is not None}
    with Api(load_settings(), as_json=as_json) as api:
        answer = api.get(path, given)
    if as_json:
        print_json(answer)
    else:
        show(answer)


def ask_page(
    path: str,
    columns: Sequence[str],
    row: Callable[[dict[str, Any]], Row],
    empty: str,
    *,
    as_json: bool,
    params: Mapping[str, str | None] | None = None,
) -> None:
    """A list of the API as a table, and how to go on where it is not at its end."""
    ask(path, lambda answer: print_page(answer, columns, row, empty), as_json=as_json, params=params)


def print_page(
    answer: Mapping[str, Any], columns: Sequence[str], row: Callable[[dict[str, Any]], Row], empty: str
) -> None:
    """The same for an answer that is here."""
    print_table(columns, [row(each) for each in answer["data"]], empty)
    if answer.get("next"):
        console.print(f"more: --cursor {answer['next']}", soft_wrap=True)


def order(
    path: str,
    body: Any,
    sentence: Callable[[dict[str, Any]], str],
    *,
    as_json: bool,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> None:
    """Have something done, and say in a sentence that it is. Leaves the program with the problem if there is one."""
    with Api(load_settings(), as_json=as_json) as api:
        answer = api.read(api.send(method, path, body=body, headers=headers))
    if as_json:
        print_json(answer)
    else:
        console.print(sentence(answer), markup=False)
