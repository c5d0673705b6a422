"""What Defer's clients may ask of a list: filters and a page, checked, with an error that says what is wrong."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, NamedTuple, cast, get_args

import msgspec
from msgspec import Meta, field

from penstock.defer.attempts import Attempt
from penstock.defer.errors import KNOWN_ERROR_CODES, error_code
from penstock.defer.ids import parse_id
from penstock.defer.states import DeferState
from penstock.domain.errors import Rejected
from penstock.domain.execution.state import Execution
from penstock.domain.limits import filter_values_max, metadata_keys_max
from penstock_query.cursors import Stretch
from penstock_query.defer.paging import Kind, PageRequest, stretch_of
from penstock_query.times import Interval, microseconds

_STATES = frozenset[str](get_args(DeferState))

Texts = Annotated[list[str], Meta(max_length=filter_values_max)] | None
Instant = Annotated[datetime, Meta(tz=True)] | None


class _Interval(msgspec.Struct, forbid_unknown_fields=True):
    start: Instant = field(default=None, name="from")
    end: Instant = field(default=None, name="to")


class _MetadataEntry(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    values: Texts = None


class _Filters(msgspec.Struct, forbid_unknown_fields=True):
    states: Texts = None
    function_ids: Texts = None
    error_codes: Texts = None
    scheduled_at: _Interval | None = None
    started_at: _Interval | None = None
    executed_by: str | None = None
    metadata: Annotated[list[_MetadataEntry], Meta(max_length=metadata_keys_max)] | None = None


class ListRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a list request; all of it may be left out."""

    page: PageRequest | None = None
    filters: _Filters | None = None


class Wanted(NamedTuple):
    """Filters of a list; empty ones do not filter."""

    states: tuple[DeferState, ...] = ()
    functions: tuple[str, ...] = ()
    error_codes: tuple[str, ...] = ()
    scheduled: Interval = Interval()
    started: Interval = Interval()
    parent_id: str | None = None
    metadata: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def fits(self, execution: Execution, attempt: Attempt) -> bool:
        """Whether an attempt is wanted: what belongs to the execution is looked for there."""
        code = error_code(attempt.error.code) if attempt.state == "failed" and attempt.error is not None else None
        return (
            (not self.states or attempt.state in self.states)
            and (not self.functions or execution.function in self.functions)
            and (not self.error_codes or code in self.error_codes)
            and self.scheduled.holds(attempt.scheduled_at)
            and self.started.holds(attempt.started_at)
            and self.parent_id in (None, execution.parent_id)
            and _has_metadata(execution.metadata, self.metadata)
        )


def _has_metadata(has: Mapping[str, str], wanted: tuple[tuple[str, tuple[str, ...]], ...]) -> bool:
    return all(has.get(key) in values for key, values in wanted)


_decode = msgspec.json.Decoder(ListRequest).decode


def asked(body: bytes, kind: Kind) -> tuple[Wanted, Stretch]:
    """What a request wants. Raises Rejected for what cannot be understood, and for what is not known."""
    try:
        request = _decode(body) if body.strip() else ListRequest()
    except msgspec.ValidationError as error:
        raise _malformed(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected("invalid_json", f"cannot decode request body: {error}.") from None
    return _wanted(request.filters or _Filters()), stretch_of(request.page, kind)


def _malformed(what: str) -> Rejected:
    part = "page" if "$.page" in what else "filter" if "$.filters" in what else "request"
    return Rejected("invalid_query", f"Invalid {part}: {what}.", pointers=[(f"/{part}", what)])


def invalid_filter(name: str, detail: str) -> Rejected:
    return Rejected("invalid_query", f"Invalid filter: {detail}", pointers=[(f"/filters/{name}", detail)])


def _wanted(filters: _Filters) -> Wanted:
    executed_by = filters.executed_by
    address = parse_id(executed_by) if executed_by is not None else None
    return Wanted(
        states=cast(tuple[DeferState, ...], _known("states", filters.states, _STATES)),
        functions=tuple(filters.function_ids or ()),
        error_codes=_known("error_codes", filters.error_codes, KNOWN_ERROR_CODES),
        scheduled=_interval("scheduled_at", filters.scheduled_at),
        started=_interval("started_at", filters.started_at),
        # What is no id of ours has no children.
        parent_id=address.execution_id if address is not None else executed_by,
        metadata=tuple((entry.key, tuple(entry.values)) for entry in filters.metadata or () if entry.values),
    )


def _known(name: str, given: list[str] | None, known: frozenset[str]) -> tuple[str, ...]:
    for each in given or ():
        if each not in known:
            raise invalid_filter(name, f"{each[:80]!r} is none of the {name}; there are {', '.join(sorted(known))}.")
    return tuple(given or ())


def _interval(name: str, given: _Interval | None) -> Interval:
    """Times are shown with milliseconds, so a time that was shown has to be found again: whole ones are compared."""
    if given is None:
        return Interval()
    start, end = (None if each is None else microseconds(each) for each in (given.start, given.end))
    if start is not None and end is not None and start > end:
        raise invalid_filter(name, f"{name} ends before it begins.")
    return Interval(
        None if start is None else -(-start // 1000) * 1000,
        None if end is None else end // 1000 * 1000 + 999,
    )
