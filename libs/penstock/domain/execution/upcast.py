"""Old shapes of facts to new ones. A fact on the wire without `v` is version 1.

When a struct changes incompatibly: raise its entry in `CURRENT`, and add a function under (tag, old version) that
turns the old JSON object into the next version's. Chains run until the current version is reached.
"""

from collections.abc import Callable
from typing import Any

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

CURRENT: dict[str, int] = {}
"""Tag -> current version, where it is not 1."""

UPCASTS: dict[tuple[str, int], Upcast] = {}
"""(tag, version) -> function to the next version."""


def upcast(
    raw: dict[str, Any],
    current: dict[str, int] = CURRENT,
    upcasts: dict[tuple[str, int], Upcast] = UPCASTS,
) -> dict[str, Any]:
    """The JSON object in its current version; one from a newer program is returned as it is."""
    tag = raw.get("kind", "")
    while raw.get("v", 1) < current.get(tag, 1):
        version = raw.get("v", 1)
        raw = {**upcasts[tag, version](raw), "v": version + 1}
    return raw
