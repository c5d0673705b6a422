"""Where pages begin and end, and cursors: opaque text that says so, bound to the filters it was made with."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.limits import page_items_default

Key = int | str


class _Wire(msgspec.Struct, frozen=True, array_like=True):
    direction: Literal["n", "p"]
    key: int | str
    filters: str


class Cursor(NamedTuple):
    """Go on after `key` in the order of the list, or backwards from it; the row with the key itself is not included."""

    backwards: bool
    key: Key


class Stretch(NamedTuple):
    """At most `size` rows between two keys, both left out: those at its beginning, or `from_end` those at its end.

    Keys fall along the list: what comes after a row has a smaller one.
    """

    size: int = page_items_default
    from_end: bool = False
    after: int | None = None
    before: int | None = None

    def holds(self, key: int) -> bool:
        return (self.after is None or key < self.after) and (self.before is None or key > self.before)

    def within(self, lowest: int | None, highest: int | None) -> "Stretch":
        """What of it has keys from the lowest to the highest."""
        after, before = self.after, self.before
        if highest is not None:
            after = highest + 1 if after is None else min(after, highest + 1)
        if lowest is not None:
            before = lowest - 1 if before is None else max(before, lowest - 1)
        return self._replace(after=after, before=before)


def fingerprint(*filters: object) -> str:
    """Short digest of the filters: a cursor used with others would skip rows without a word."""
    return hashlib.blake2b(repr(filters).encode(), digest_size=6).hexdigest()


def encode_cursor(cursor: Cursor | None, filters: str) -> str | None:
    if cursor is None:
        return None
    wire = _Wire("p" if cursor.backwards else "n", cursor.key, filters)
    return base64.urlsafe_b64encode(msgspec.json.encode(wire)).decode().rstrip("=")


def decode_cursor(text: str | None, filters: str, kind: type[int] | type[str] = int) -> Cursor | None:
    """Raises Rejected `invalid_query` for anything that is no cursor of this list with these filters."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        wire = msgspec.json.decode(raw, type=_Wire)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise _bad("is not one of ours") from None
    if type(wire.key) is not kind or (isinstance(wire.key, int) and not 0 <= wire.key < 2**63):
        raise _bad("belongs to another list")
    if wire.filters != filters:
        raise _bad("was made with other filters")
    return Cursor(wire.direction == "p", wire.key)


def _bad(why: str) -> Rejected:
    return Rejected(
        "invalid_query",
        f"The cursor {why}. Take it from `next` or `previous` of a page, and keep the filters.",
        pointers=[("/cursor", why)],
    )


def around(keys: Sequence[Key], cursor: Cursor | None, more: bool) -> tuple[Cursor | None, Cursor | None]:
    """(next, previous) of a page with these keys in list order; `more`: there are rows beyond it in its direction."""
    if cursor is None:
        return (Cursor(False, keys[-1]) if more else None), None
    if not keys:
        # Nothing lies beyond; the way back leads to the page that was left.
        return (Cursor(False, cursor.key), None) if cursor.backwards else (None, Cursor(True, cursor.key))
    if cursor.backwards:
        return Cursor(False, keys[-1]), (Cursor(True, keys[0]) if more else None)
    return (Cursor(False, keys[-1]) if more else None), Cursor(True, keys[0])
