"""Which open waits an event ends: those for its name whose `match` its data fulfils. Pure.

A `match` holds a wanted value for each dotted path of the event's data; a number in a path is the index of an array.
All values have to be equal as JSON: the order of members does not count, 1 equals 1.0, and what is not there equals
nothing, not even null.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

_NOTHING = object()
_UNMATCHABLE = b""


class EventWait(NamedTuple):
    """One open wait for an event. `after` is the position in EVENTS after which events count, `sequence` the position
    in the log where it was opened.
    """

    execution_id: str
    function: str
    key: str
    name: str
    match: Mapping[str, bytes]
    after: int
    sequence: int


def wanted(match: Mapping[str, Raw]) -> dict[str, bytes]:
    """The values of a `match` in the one form in which they are compared."""
    return {path: _canonical_text(value) for path, value in match.items()}


class EventWaits:
    """Open waits for events, found by an event at the same cost however many wait for its name."""

    def __init__(self) -> None:
        self._waits: dict[tuple[str, str], EventWait] = {}
        self._names: dict[str, dict[tuple[str, ...], dict[tuple[bytes, ...], dict[tuple[str, str], EventWait]]]] = {}
        """Name of the event -> paths -> the values wanted there -> waits."""

    def __len__(self) -> int:
        return len(self._waits)

    def __contains__(self, place: tuple[str, str]) -> bool:
        return place in self._waits

    @property
    def names(self) -> frozenset[str]:
        """The names of events that somebody waits for."""
        return frozenset(self._names)

    def of(self, name: str) -> list[EventWait]:
        """All waits for this name."""
        return [wait for by_values in self._names.get(name, {}).values() for one in by_values.values()
                for wait in one.values()]  # fmt: skip

    def add(self, wait: EventWait) -> None:
        """It is open from now on."""
        self.remove(wait.execution_id, wait.key)
        place = wait.execution_id, wait.key
        self._waits[place] = wait
        paths, values = _place(wait)
        by_values = self._names.setdefault(wait.name, {}).setdefault(paths, {})
        by_values.setdefault(values, {})[place] = wait

    def remove(self, execution_id: str, key: str) -> EventWait | None:
        """It is over; answers with it if it was there."""
        place = execution_id, key
        wait = self._waits.pop(place, None)
        if wait is None:
            return None
        paths, values = _place(wait)
        by_paths = self._names[wait.name]
        by_values = by_paths[paths]
        del by_values[values][place]
        if not by_values[values]:
            del by_values[values]
        if not by_values:
            del by_paths[paths]
        if not by_paths:
            del self._names[wait.name]
        return wait

    def matching(self, name: str, sequence: int, data: Raw) -> list[EventWait]:
        """The waits that the event of this name at this position of EVENTS ends."""
        found: list[EventWait] = []
        by_paths = self._names.get(name)
        if by_paths is None:
            return found
        content = msgspec.json.decode(data) if any(by_paths) else None
        for paths, by_values in by_paths.items():
            values = [value for path in paths if (value := value_at(content, path)) is not None]
            # Too few of them fit nothing: all that is wanted has to be there.
            found += (wait for wait in by_values.get(tuple(values), {}).values() if wait.after < sequence)
        return found


def value_at(content: Any, path: str) -> bytes | None:
    """The value at a dotted path, in the form in which values are compared; None if there is nothing."""
    for token in path.split("."):
        if isinstance(content, dict):
            content = content.get(token, _NOTHING)
        elif isinstance(content, list) and token.isascii() and token.isdigit() and len(token) < 10:
            content = content[int(token)] if int(token) < len(content) else _NOTHING
        else:
            return None
    return None if content is _NOTHING else _canonical(content)


def _place(wait: EventWait) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    paths = tuple(sorted(wait.match))
    return paths, tuple(wait.match[path] for path in paths)


def _canonical_text(text: Raw) -> bytes:
    try:
        return _canonical(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        # No event has such data.
        return _UNMATCHABLE


def _canonical(value: Any) -> bytes:
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    """Whole numbers as such, however they were written."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
