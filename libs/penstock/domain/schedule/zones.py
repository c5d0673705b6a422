"""Time zones by their IANA names."""

import difflib
import re
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from penstock.domain.errors import Rejected

_NAME = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone with this name. Raises Rejected `invalid_option` with the names near to it."""
    try:
        if not _NAME.fullmatch(name) or name in ("localtime", "posixrules"):
            raise ValueError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        by_lower = {known.lower(): known for known in available_timezones()}
        near = difflib.get_close_matches(name.lower()[:64], by_lower, n=3, cutoff=0.6)
        hint = f"Did you mean {', '.join(by_lower[each] for each in near)}?" if near else "Write it like Europe/Paris."
        detail = f"There is no time zone {name[:80]!r}. {hint}"
        raise Rejected("invalid_option", detail, pointers=[("/timezone", "no IANA time zone")]) from None
