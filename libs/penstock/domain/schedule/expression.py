"""Cron expressions as people write them, checked field by field: a mistake is shown with its column and a hint."""

import re
from typing import NamedTuple, NoReturn

from penstock.domain.errors import Rejected
from penstock.domain.limits import cron_chars_max

WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]


_SECOND = _Field("second", 0, 59, {})
_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("day of the week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_ITEM = re.compile(r"(?P<first>\*|\?|[A-Za-z0-9]+)(?:-(?P<last>[A-Za-z0-9]+))?(?:/(?P<step>\d+))?(?:#(?P<nth>\d+))?")


class Cron(NamedTuple):
    """A checked expression: the text for the arithmetic, and whether it names all hours."""

    text: str
    every_hour: bool


def parse_cron(text: str) -> Cron:
    """The checked expression. Raises Rejected `invalid_option` with the column (from 1) and a hint."""
    if len(text) > cron_chars_max:
        _refuse(text[:40] + "...", cron_chars_max + 1, f"it is longer than {cron_chars_max} characters")
    stripped = text.strip()
    if stripped.startswith("@"):
        if stripped.lower() not in WORDS:
            known = ", ".join(WORDS)
            _refuse(text, text.index("@") + 1, f"there is no {stripped!r}", f"Known are {known}.")
        stripped = WORDS[stripped.lower()]
        text = stripped
    parts = [(match.start() + 1, match.group()) for match in re.finditer(r"\S+", text)]
    if len(parts) not in (5, 6):
        column = parts[6][0] if len(parts) > 6 else len(text) + 1
        hint = "Write minute hour day month weekday, or six fields with the second first."
        _refuse(text, column, f"it has {len(parts)} fields instead of 5 or 6", hint)
    fields = _FIELDS if len(parts) == 5 else (_SECOND, *_FIELDS)
    normal, hours = [], frozenset[int]()
    for field, (column, part) in zip(fields, parts, strict=True):
        values = _check(text, field, column, part)
        if field.name == "hour":
            hours = values
        normal.append("*" if part == "?" else part.upper())
    return Cron(" ".join(normal), len(hours) == 24)


def _check(text: str, field: _Field, column: int, part: str) -> frozenset[int]:
    values: set[int] = set()
    for item in part.split(","):
        values.update(_values(text, field, column, item, alone=item == part))
        column += len(item) + 1
    return frozenset(values)


def _values(text: str, field: _Field, column: int, item: str, *, alone: bool) -> range:
    everything = range(field.low, field.high + 1)
    day = field.name == "day of the month"
    if day and item.upper() == "L":
        return everything
    match = _ITEM.fullmatch(item)
    if match is None:
        _refuse(text, column, f"{item!r} is no {field.name}", _hint(item, field))
    first, last, step, nth = match["first"], match["last"], match["step"], match["nth"]
    if first == "?" and not (alone and item == "?" and field.name.startswith("day")):
        _refuse(text, column, "'?' stands alone for a day that does not matter", "Use '*'.")
    if nth is not None and (not field.name.endswith("week") or last or step or first in "*?" or not 1 <= int(nth) <= 5):
        _refuse(text, column, f"{item!r} is no {field.name}", "MON#2 is the second Monday; 1 to 5 are possible.")
    if first in "*?":
        if last is not None:
            _refuse(text, column, f"{item!r} is no range", _hint(item, field))
        low, high = field.low, field.high
    else:
        low = _number(text, field, column, first)
        high = low if last is None else _number(text, field, column + len(first) + 1, last)
        if step is not None and last is None:
            high = field.high
    if low > high:
        hint = f"Write two ranges: {first}-{field.high},{field.low}-{last}."
        _refuse(text, column, f"the range {item!r} runs backwards", hint)
    if step is not None and not 1 <= int(step) <= len(everything):
        where = column + item.index("/") + 1
        _refuse(text, where, f"the step {step} does not fit", f"A step of the {field.name} is 1 to {len(everything)}.")
    return range(low, high + 1, int(step or 1))


def _number(text: str, field: _Field, column: int, word: str) -> int:
    number = int(word) if word.isdecimal() and len(word) <= 4 else field.names.get(word.upper())
    if number is None:
        _refuse(text, column, f"{word!r} is no {field.name}", _hint(word, field))
    if not field.low <= number <= field.high:
        hint = f"The {field.name} is {field.low} to {field.high}."
        _refuse(text, column, f"{number} is no {field.name}", hint)
    return number


def _hint(item: str, field: _Field) -> str:
    letter = item[:1].upper()
    if letter in ("R", "H") and (len(item) == 1 or not item[1].isalpha()):
        return "Random and hashed times would differ between schedulers; give a time and use `jitter`."
    if "W" in item.upper() and item[0].isdecimal():
        return "Nearest weekdays are not supported; name the weekdays, such as MON-FRI."
    names = f" or {', '.join(field.names)}" if field.names else ""
    return f"The {field.name} is {field.low} to {field.high}{names}, with '*', ranges, lists and '/' steps."


def _refuse(text: str, column: int, what: str, hint: str = "") -> NoReturn:
    detail = f"The cron expression {text!r} is wrong at column {column}: {what}. {hint}".rstrip()
    raise Rejected("invalid_option", detail, pointers=[("/cron", f"column {column}: {what}")], column=column)
