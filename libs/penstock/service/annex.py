"""Doors that answer everything below their address themselves: every method, who may come in, and their own errors.

For addresses whose form belongs to another product, where even a preflight and an unknown address have a form to keep.
"""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from litestar.types import HTTPScope, Receive

from penstock.service.dialect import IsKey
from penstock.service.problems import Answer


@runtime_checkable
class Annex(Protocol):
    """All addresses that begin with `prefix`."""

    prefix: str

    async def answer(self, scope: HTTPScope, receive: Receive, is_key: IsKey) -> Answer:
        """The finished answer, whatever happens. `is_key` knows the API key."""


def annex_at(annexes: Iterable[Annex], path: str) -> Annex | None:
    """The one that answers at this address, if there is one."""
    return next((each for each in annexes if path.startswith(each.prefix)), None)
