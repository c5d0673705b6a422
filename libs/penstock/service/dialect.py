"""What a door that imitates another product does in its own way: who may come in, and the words of its errors.

All addresses below one prefix speak one dialect. Addresses without one are ours: a bearer key and problem documents.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from penstock.service.problems import Answer, Trouble

DIALECT = "dialect"
"""Key under which a handler carries its dialect among its options."""

IsKey = Callable[[bytes], bool]
"""Whether this is the API key; takes the same time for every wrong one."""


class Knock(NamedTuple):
    """A request before its body has been read. Names of headers are in lower case."""

    path: str
    method: str
    query: bytes
    headers: Mapping[bytes, bytes]

    @property
    def authorization(self) -> bytes:
        return self.headers.get(b"authorization", b"")


class Dialect(Protocol):
    """The manners of the addresses that begin with `prefix`, of unknown ones among them too."""

    @property
    def prefix(self) -> str: ...

    def admits(self, knock: Knock, is_key: IsKey) -> bool:
        """Whether the request may come in."""

    def word(self, trouble: Trouble, path: str) -> Answer:
        """The answer that tells of this trouble."""


def dialects_of(routes: Iterable[ControllerRouterHandler]) -> list[Dialect]:
    """The dialects that these routes carry, one for each prefix."""
    handlers = [each for each in routes if isinstance(each, HTTPRouteHandler)]
    carried: list[Dialect] = [each.opt[DIALECT] for each in handlers if DIALECT in each.opt]
    return list({each.prefix: each for each in carried}.values())


def dialect_at(dialects: Sequence[Dialect], path: str) -> Dialect | None:
    """The dialect that is spoken at this address; None where it is ours."""
    for dialect in dialects:
        if path.startswith(dialect.prefix):
            return dialect
    return None


def is_bearer(header: bytes, is_key: IsKey) -> bool:
    """Whether an Authorization header brings the key as a bearer token."""
    scheme, _, key = header.partition(b" ")
    return is_key(key.strip()) and scheme.lower() == b"bearer"
