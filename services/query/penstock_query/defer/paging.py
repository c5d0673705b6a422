"""Pages of Defer's lists: `first` after a cursor or `last` before one, newest first. Pure.

A cursor names a row by the key that orders the list and never changes, so what is made meanwhile moves nothing to
another page.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from penstock.domain.errors import Rejected
from penstock.domain.limits import page_items_default, page_items_max
from penstock_query.cursors import Stretch

T = TypeVar("T")

Kind = Literal["x", "a"]
"""Which keys a cursor holds: positions in the log, or numbers of attempts."""

Size = Annotated[int, Meta(ge=0, le=page_items_max)]


class PageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The member `page` of a request."""

    first: Size | None = None
    after: str | None = None
    last: Size | None = None
    before: str | None = None


class PageInfo(msgspec.Struct, frozen=True):
    """What lies around a page. An empty one has no cursors."""

    has_next_page: bool
    has_prev_page: bool
    start_cursor: str | UnsetType = UNSET
    end_cursor: str | UnsetType = UNSET


def stretch_of(page: PageRequest | None, kind: Kind) -> Stretch:
    """Where the page lies: `before` goes before `after`, and `last` before `first`. Raises Rejected."""
    if page is None:
        return Stretch()
    before = _key("before", page.before, kind)
    after = _key("after", page.after, kind) if before is None else None
    if page.last is not None:
        return Stretch(page.last, True, after, before)
    if page.first is not None:
        return Stretch(page.first, False, after, before)
    # Nearest to the cursor.
    return Stretch(page_items_default, before is not None, after, before)


def walked(rows: Sequence[T], key: Callable[[T], int], stretch: Stretch) -> list[T]:
    """From rows with falling keys what a query would find: in the order of the walk, one more than the page takes."""
    found = [row for row in rows if stretch.holds(key(row))]
    if stretch.from_end:
        found.reverse()
    return found[: stretch.size + 1]


def page_of(found: Sequence[T], key: Callable[[T], int], stretch: Stretch, kind: Kind) -> tuple[list[T], PageInfo]:
    """The page and what lies around it, from what was found on the walk, one row beyond the page included.

    Where the walk did not come from, there is the row of the cursor.
    """
    rows, more = list(found[: stretch.size]), len(found) > stretch.size
    if stretch.from_end:
        rows.reverse()
    has_next = stretch.before is not None or (more and not stretch.from_end)
    has_prev = stretch.after is not None or (more and stretch.from_end)
    if not rows:
        return rows, PageInfo(has_next, has_prev)
    return rows, PageInfo(has_next, has_prev, _cursor(key(rows[0]), kind), _cursor(key(rows[-1]), kind))


def _cursor(key: int, kind: Kind) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("=")


def _key(name: str, text: str | None, kind: Kind) -> int | None:
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raw = ""
    found, _, digits = raw.partition(":")
    if found != kind or not (digits.isascii() and digits.isdigit()) or int(digits[:20]) >= 2**63:
        detail = f"Invalid page: {name} is no cursor of this list; take start_cursor or end_cursor of a page."
        raise Rejected("invalid_query", detail, pointers=[(f"/page/{name}", "no cursor of this list")])
    return int(digits)
