"""What commands print: tables for people, one JSON document for programs, and errors as code, sentence and hint."""

import re
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
# People get whole words on each line; programs and logs get whole sentences.
errors = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
usage_errors = Console(stderr=True, highlight=False)
"""For mistakes in the command itself, which come in a frame: what does not fit must go to the next line."""

NARROW_COLUMNS = 110
EXAMPLES = {"--data": '{"a": 1}', "--kwargs": '{"a": 1}', "--result": '{"ok": true}'}
"""What the JSON of an option may look like, where it is not an array."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

UNBROKEN = frozenset({"id", "state", "created", "variable", "took"})
"""Columns whose cells are copied or compared, and so stay in one piece."""

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


def visible(text: str) -> str:
    """Text of others with its control characters spelled out: none of it may steer the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def is_narrow() -> bool:
    """True where a row of an id, times and words does not fit in one line."""
    return console.width < NARROW_COLUMNS


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], empty: str) -> None:
    """A plain table, or the sentence `empty` when there are no rows. Wide cells fold; nothing is cut off."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in UNBROKEN)
    for row in rows:
        table.add_row(*(Text(visible(cell)) if isinstance(cell, str) else cell for cell in row))
    if table.row_count:
        console.print(table)
    else:
        console.print(empty)


def clock(instant: str) -> str:
    """An RFC 3339 instant in UTC, to the second."""
    return instant.replace("T", " ")[:19] + "Z"


def state_text(state: str) -> Text:
    """The state in its colour."""
    return Text(state, style=STATE_STYLES.get(state, ""))


def fail(
    code: str,
    sentence: str,
    hint: str | None = None,
    *,
    as_json: bool = False,
    pointers: Sequence[tuple[str, str]] = (),
) -> NoReturn:
    """Say what went wrong and what to do, on stderr, and leave with exit code 1."""
    kind = CATALOGUE.get(code)
    advice = hint if hint is not None else (kind.hint if kind else "")
    if advice in sentence:
        advice = ""
    if as_json:
        at_fault = [{"pointer": pointer, "detail": text} for pointer, text in pointers]
        problem = {"code": code, "detail": sentence, "hint": advice, "errors": at_fault}
        sys.stderr.write(msgspec.json.encode(problem).decode() + "\n")
    else:
        errors.print(Text.assemble((f"{code}: ", "bold red"), visible(sentence)))
        if advice:
            errors.print(Text.assemble(("what to do: ", "bold"), advice))
    raise SystemExit(1)


def fail_with(error: Rejected, *, as_json: bool = False) -> NoReturn:
    """The same for a rejected command, with the fields at fault."""
    fields = "".join(f"\n  {pointer}: {text}" for pointer, text in error.pointers if text not in error.detail)
    fail(error.code, error.detail + fields, as_json=as_json, pointers=error.pointers)


def parse_json(text: str, what: str) -> Any:
    """The JSON value of an option. Raises Rejected `invalid_json` naming the option."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Rejected(
            "invalid_json",
            f"{what} is not valid JSON: {error}. Quote it for the shell: {what} '{EXAMPLES.get(what, '[1, 2]')}'",
        ) from None
