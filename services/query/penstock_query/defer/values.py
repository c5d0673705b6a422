"""Arguments and lines in the form in which Defer showed them. Pure."""

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Raw

from penstock.domain.execution.facts import Enqueued, OptionalRaw
from penstock_query.times import moment

_encode = msgspec.json.Encoder().encode


class Arguments(msgspec.Struct):
    """Arguments as they are stored outside the first fact when they are large."""

    args: Raw = Raw(b"[]")
    kwargs: Raw = Raw(b"{}")
    event: OptionalRaw = None


def inline_arguments(first: Enqueued) -> Arguments:
    return Arguments(first.args, first.kwargs, first.event)


def argument_list(given: Arguments, members: Sequence[str] = ()) -> bytes:
    """One JSON array: the positional arguments, and what else the function was given behind them.

    Named arguments follow as one object, as JavaScript passes options; an event as itself; of a batch its members.
    """
    parts = [_inside(given.args)]
    if _inside(given.kwargs):
        parts.append(bytes(given.kwargs))
    if given.event is not None:
        parts.append(bytes(given.event))
    if members:
        parts.append(_encode({"members": list(members)}))
    return b"[" + b",".join(part for part in parts if part) + b"]"


def _inside(json: Raw) -> bytes:
    """What stands between the brackets."""
    return bytes(json).strip()[1:-1].strip()


def line_text(at: int, text: str) -> str:
    """One line of the log with its time of day in UTC."""
    return f"{moment(at):%H:%M:%S}.{at // 1000 % 1000:03d} {text}\n"


def log_text(lines: Iterable[tuple[int, str]]) -> bytes:
    return "".join(line_text(at, text) for at, text in lines).encode()
