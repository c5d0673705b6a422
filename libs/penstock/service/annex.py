"""Doors that answer everything below their address themselves: every method, who may come in, and their own errors.

For addresses whose form belongs to another product, where even a preflight and an unknown address have a form to keep.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from litestar.types import HTTPScope, Receive

from penstock.service.dialect import IsKey
from penstock.service.problems import Answer


class Annex(NamedTuple):
    """All addresses that begin with `prefix`. `answer` gives a finished answer, whatever happens."""

    prefix: str
    answer: Callable[[HTTPScope, Receive, IsKey], Awaitable[Answer]]


def annex_at(annexes: Iterable[Annex], path: str) -> Annex | None:
    """The one that answers at this address, if there is one."""
    return next((each for each in annexes if path.startswith(each.prefix)), None)
