"""What a reader may ask: query parameters, checked one by one, with an `invalid_query` that names the one at fault."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.execution.state import State
from penstock.domain.ids import is_execution_id, is_function_name
from penstock.domain.limits import (
    filter_values_max,
    metadata_key_chars_max,
    metadata_keys_max,
    page_items_default,
    page_items_max,
    wait_seconds_max,
)
from penstock_query.cursors import fingerprint
from penstock_query.notifications import STATES
from penstock_query.shapes import ExecutionShape
from penstock_query.times import Interval, microseconds

_AFTER = re.compile(r"(x|e):(0|[1-9][0-9]{0,18})")
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\"?(?=$|[,;\s])", re.IGNORECASE)
METADATA = "metadata."
EVENT_STATES = {"accepted", "matched", "unmatched", "rejected"}


class After(NamedTuple):
    """A position to wait for: `x` in the log, `e` in EVENTS."""

    stream: str
    sequence: int


class Paging(NamedTuple):
    limit: int
    cursor: str | None


class ExecutionFilter(NamedTuple):
    """Filters of the list of executions; empty ones do not filter."""

    states: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    event_id: str | None = None
    parent_id: str | None = None
    created: Interval = Interval()
    metadata: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def fingerprint(self) -> str:
        return fingerprint("executions", *self)


class StreamFilter(NamedTuple):
    """Filters of the stream; an execution fits as it is after the change."""

    states: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    execution_id: str | None = None
    parent_id: str | None = None
    metadata: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def fits(self, each: ExecutionShape) -> bool:
        return (
            (not self.states or each.state in self.states)
            and (not self.functions or each.function in self.functions)
            and self.execution_id in (None, each.id)
            and self.parent_id in (None, each.parent_id)
            and all(each.metadata.get(key) in values for key, values in self.metadata)
        )


class EventFilter(NamedTuple):
    """Filters of the list of events."""

    states: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        return fingerprint("events", *self)


class NotificationFilter(NamedTuple):
    """Filters of the list of notifications."""

    states: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    execution_id: str | None = None

    @property
    def fingerprint(self) -> str:
        return fingerprint("notifications", *self)


def invalid(parameter: str, detail: str) -> Rejected:
    return Rejected("invalid_query", detail, pointers=[(f"/{parameter}", detail)])


class Query:
    """The parameters of one request. Whoever asks takes what it knows; `finish` refuses what nobody took."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        self._taken: set[str] = set()
        for name, value in pairs:
            if name in self._values:
                raise invalid(name[:80], f"{name[:80]!r} is given twice. Separate several values by commas.")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        self._taken.add(name)
        value = self._values.get(name)
        if value == "":
            raise invalid(name, f"{name} is empty. Leave it out, or give it a value.")
        return value

    def values(self, name: str) -> tuple[str, ...]:
        """Values separated by commas, sorted, so that their order does not matter to a cursor."""
        text = self.text(name)
        return () if text is None else _split(name, text)

    def metadata(self) -> dict[str, tuple[str, ...]]:
        found = {}
        for parameter, text in self._values.items():
            if not parameter.startswith(METADATA):
                continue
            self._taken.add(parameter)
            key = parameter.removeprefix(METADATA)
            if not 1 <= len(key) <= metadata_key_chars_max:
                raise invalid(METADATA, f"A metadata key has 1 to {metadata_key_chars_max} characters.")
            # A value that itself holds commas is also matched as a whole.
            found[key] = tuple(sorted({*_split(parameter, text), text})) if text else ("",)
        if len(found) > metadata_keys_max:
            raise invalid(METADATA, f"A query has at most {metadata_keys_max} metadata keys.")
        return found

    def instant(self, name: str) -> int | None:
        """Microseconds of an RFC 3339 instant."""
        text = self.text(name)
        if text is None:
            return None
        try:
            # A plus sign in a query string is decoded as a space.
            instant = msgspec.convert(text.replace(" ", "+"), datetime)
        except msgspec.ValidationError:
            instant = None
        if instant is None or instant.tzinfo is None:
            raise invalid(name, f"{name} must be an instant such as 2027-01-31T08:00:00Z, not {text[:80]!r}.")
        return microseconds(instant)

    def paging(self) -> Paging:
        text = self.text("limit")
        limit = page_items_default
        if text is not None:
            if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= page_items_max):
                raise invalid("limit", f"limit must be a whole number from 1 to {page_items_max}, not {text[:80]!r}.")
            limit = int(text)
        return Paging(limit, self.text("cursor"))

    def after(self) -> After | None:
        text = self.text("after")
        if text is None:
            return None
        match = _AFTER.fullmatch(text)
        if match is None or int(match[2]) >= 2**63:
            raise invalid("after", f"after must be a sequence that was answered, such as x:17, not {text[:80]!r}.")
        return After(match[1], int(match[2]))

    def finish(self) -> None:
        """Raises Rejected `invalid_query` for a parameter that nobody asked for."""
        unknown = sorted(set(self._values) - self._taken)
        if unknown:
            known = ", ".join(sorted(self._taken)) or "none"
            raise invalid(unknown[0][:80], f"There is no parameter {unknown[0][:80]!r} here. There are: {known}.")


def _split(name: str, text: str) -> tuple[str, ...]:
    values = {value.strip() for value in text.split(",")}
    if "" in values:
        raise invalid(name[:80], f"{name[:80]} holds an empty value.")
    if len(values) > filter_values_max:
        raise invalid(name[:80], f"{name[:80]} has more than {filter_values_max} values.")
    return tuple(sorted(values))


def execution_filter(query: Query) -> ExecutionFilter:
    """The filters of /v1/executions."""
    states, functions, parent = _states(query), _functions(query), _id(query, "parent_id")
    after, before = query.instant("created_after"), query.instant("created_before")
    if after is not None and before is not None and after >= before:
        raise invalid("created_before", "created_before must be later than created_after.")
    created = Interval(after, None if before is None else before - 1)
    metadata = tuple(sorted(query.metadata().items()))
    return ExecutionFilter(states, functions, query.text("event_id"), parent, created, metadata)


def stream_filter(query: Query) -> StreamFilter:
    """The filters of /v1/stream."""
    metadata = tuple(sorted(query.metadata().items()))
    return StreamFilter(_states(query), _functions(query), _id(query, "execution"), _id(query, "parent_id"), metadata)


def stream_position(query: Query, last_event_id: str | None) -> After | None:
    """Where a reader goes on. One that comes back says so in a header, which is newer than its address."""
    after = query.after()
    if last_event_id:
        after = Query([("after", last_event_id)]).after()
    if after is not None and after.stream != "x":
        raise invalid("after", "The stream goes on after a position in the log, such as x:17.")
    return after


def _states(query: Query) -> tuple[str, ...]:
    states, known = query.values("state"), {str(state) for state in State}
    for state in states:
        if state not in known:
            raise invalid("state", f"There is no state {state[:80]!r}. There are: {', '.join(sorted(known))}.")
    return states


def _functions(query: Query) -> tuple[str, ...]:
    functions = query.values("function")
    for function in functions:
        if not is_function_name(function):
            raise invalid("function", f"{function[:80]!r} is no function name.")
    return functions


def _id(query: Query, name: str) -> str | None:
    text = query.text(name)
    if text is not None and not is_execution_id(text):
        raise invalid(name, f"{name} must be 32 lower-case hex digits, not {text[:80]!r}.")
    return text


def event_filter(query: Query) -> EventFilter:
    """The filters of /v1/events."""
    states = query.values("state")
    for state in states:
        if state not in EVENT_STATES:
            raise invalid("state", f"There is no state {state[:80]!r}. There are: {', '.join(sorted(EVENT_STATES))}.")
    return EventFilter(states, query.values("name"))


def notification_filter(query: Query) -> NotificationFilter:
    """The filters of /v1/notifications."""
    states = query.values("state")
    for state in states:
        if state not in STATES:
            raise invalid("state", f"There is no state {state[:80]!r}. There are: {', '.join(STATES)}.")
    execution_id = _id(query, "execution_id")
    channels, rules, functions = query.values("channel"), query.values("rule"), query.values("function")
    return NotificationFilter(states, channels, rules, functions, execution_id)


def preferred_wait(headers: Mapping[str, str]) -> int | None:
    """Seconds of `Prefer: wait=<s>` (RFC 7240), at most the limit. A strange preference is ignored."""
    match = _WAIT.search(headers.get("prefer", ""))
    return None if match is None else min(int(match[1]), wait_seconds_max)
