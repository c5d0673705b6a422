"""What commands print: tables for people, one JSON document for programs, and errors as code, sentence and hint."""

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NoReturn

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock.domain.errors import CATALOGUE, Rejected

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs instead of a table.")]

# Into a pipe or a file there is no terminal to fit: lines are then wide enough to be searched.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

STATE_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "discarded": "yellow",
    "running": "cyan",
    "retrying": "magenta",
}


def print_json(value: Any) -> None:
    """The value as indented JSON on stdout, without colours."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_json_line(value: Any) -> None:
    """The value as one line, for output without an end."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], empty: str) -> None:
    """A plain table, or the sentence `empty` when there are no rows. Wide cells fold; nothing is cut off."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in ("id", "state", "created"))
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    if table.row_count:
        console.print(table)
    else:
        console.print(empty)


def state_text(state: str) -> Text:
    """The state in its colour."""
    return Text(state, style=STATE_STYLES.get(state, ""))


def fail(code: str, sentence: str, hint: str | None = None, *, as_json: bool = False) -> NoReturn:
    """Say what went wrong and what to do, on stderr, and leave with exit code 1."""
    kind = CATALOGUE.get(code)
    advice = hint if hint is not None else (kind.hint if kind else "")
    if advice in sentence:
        advice = ""
    if as_json:
        problem = {"code": code, "detail": sentence, "hint": advice}
        sys.stderr.write(msgspec.json.encode(problem).decode() + "\n")
    else:
        errors.print(Text.assemble((f"{code}: ", "bold red"), sentence))
        if advice:
            errors.print(Text.assemble(("what to do: ", "bold"), advice))
    raise SystemExit(1)


def fail_with(error: Rejected, *, as_json: bool = False) -> NoReturn:
    """The same for a rejected command, with the fields at fault."""
    fields = "".join(f"\n  {pointer}: {detail}" for pointer, detail in error.pointers)
    fail(error.code, error.detail + fields, as_json=as_json)


def parse_json(text: str, what: str) -> Any:
    """The JSON value of an option. Raises Rejected `invalid_json` naming the option."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Rejected(
            "invalid_json", f"{what} is not valid JSON: {error}. Quote it for the shell: {what} '[1, 2]'"
        ) from None
