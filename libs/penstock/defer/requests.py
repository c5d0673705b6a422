"""What callers send in Defer's API, checked and in our terms.

What does not fit is refused; fields that we do not know are passed over, since clients may send more than we read.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from penstock.defer.halves import without_halves
from penstock.domain.errors import Rejected
from penstock.domain.function.options import ResolvedOptions
from penstock.domain.limits import defer_metadata_chars_max, defer_metadata_keys_max, delay_seconds_max

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLE = "2027-01-31T08:00:00.000Z"

Body = TypeVar("Body", bound=msgspec.Struct)


class Enqueue(msgspec.Struct, frozen=True):
    """`PUT /executions`. JavaScript writes an invalid date as null, and its clients mean no time by it."""

    function_name: str
    function_arguments: Raw = Raw(b"[]")
    schedule_for: str | None = None
    discard_after: str | None = None
    metadata: dict[str, str] | None = None


class OldEnqueue(msgspec.Struct, frozen=True):
    """The same in version 1. Clients say `schedule_for`, its documentation said `scheduled_for`."""

    name: str
    arguments: Raw = Raw(b"[]")
    schedule_for: str | None = None
    scheduled_for: str | None = None
    discard_after: str | None = None
    metadata: dict[str, str] | None = None

    def as_new(self) -> Enqueue:
        scheduled = self.scheduled_for if self.schedule_for is None else self.schedule_for
        return Enqueue(self.name, self.arguments, scheduled, self.discard_after, self.metadata)


class Cancel(msgspec.Struct, frozen=True):
    """Without `force` only what has not started is cancelled."""

    force: Any = False


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`PATCH .../schedule`; no time means now, so a field that is misspelt must not pass for none."""

    schedule_for: str | None = None


class Nothing(msgspec.Struct, frozen=True):
    """A body of which nothing is read."""


def decoded(kind: type[Body], body: bytes) -> Body:
    """The body. Raises Rejected `invalid_json`, or `invalid_arguments` that names the field."""
    try:
        return _read(kind, body or b"{}")
    except msgspec.ValidationError as error:
        raise Rejected("invalid_arguments", f"cannot decode request body: {str(error)[:500]}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected("invalid_json", f"cannot decode request body: {str(error)[:500]}.") from None


def _read(kind: type[Body], body: bytes) -> Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        mended = without_halves(body)
        if mended == body:
            raise
        return msgspec.json.decode(mended, type=kind)


def positional(arguments: Raw, field: str) -> Raw:
    """The same. Raises Rejected for what is no list: Defer's functions take their arguments by position."""
    if bytes(arguments)[:1] != b"[":
        raise Rejected("invalid_arguments", f"{field} must be an array.")
    return arguments


def is_forced(body: bytes) -> bool:
    """Whether a cancel is forced. Raises Rejected, also for what is only somehow true."""
    force = decoded(Cancel, body).force
    if not isinstance(force, bool):
        raise Rejected(
            "invalid_arguments", "force must be true or false; clients take it as cancelExecution(id, true)."
        )
    return force


def resolved(request: Enqueue, now: int) -> ResolvedOptions:
    """The options of the call at `now` (µs). A discard time is an instant, whatever the delay. Raises Rejected."""
    return ResolvedOptions(
        run_at=start_at(request.schedule_for, now),
        discard_at=_instant(request.discard_after, "discard_after", now),
        deadline_at=None,
        metadata=checked_metadata(request.metadata or {}),
        idempotency_key=None,
        priority=0,
        retries=None,
        timeout=None,
    )


def start_at(text: str | None, now: int) -> int | None:
    """When it is to start (µs); None for now, which is also what a time in the past means. Raises Rejected."""
    at = _instant(text, "schedule_for", now)
    return at if at is not None and at > now else None


def checked_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """The same, if it is within Defer's limits. Raises Rejected `invalid_option`."""
    if len(metadata) > defer_metadata_keys_max:
        raise Rejected("invalid_option", f"metadata has {len(metadata)} keys; at most {defer_metadata_keys_max} fit.")
    for key, value in metadata.items():
        _check_text(key, f"the key {key[:80]!r}")
        _check_text(value, f"the value of {key[:80]!r}")
    return metadata


def _check_text(text: str, what: str) -> None:
    if not 1 <= len(text) <= defer_metadata_chars_max:
        raise Rejected("invalid_option", f"metadata: {what} must have 1 to {defer_metadata_chars_max} characters.")
    if not all(32 <= ord(character) <= 127 for character in text):
        raise Rejected("invalid_option", f"metadata: {what} may have ASCII characters from 32 to 127 only.")


def _instant(text: str | None, field: str, now: int) -> int | None:
    if text is None:
        return None
    at = instant(text, field)
    if at > now + delay_seconds_max * 1_000_000:
        raise Rejected("invalid_option", f"{field} may not lie more than {delay_seconds_max} seconds ahead.")
    return at


def instant(text: Any, field: str) -> int:
    """Microseconds since the epoch of an RFC 3339 time with any offset. Raises Rejected `invalid_option`."""
    try:
        given = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        given = None
    if given is None or given.tzinfo is None:
        raise Rejected("invalid_option", f"{field} must be a time such as {_EXAMPLE}, not {str(text)[:80]!r}.")
    return (given - _EPOCH) // timedelta(microseconds=1)
