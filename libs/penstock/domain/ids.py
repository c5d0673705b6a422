"""Identifiers. An execution id is 128 bits in lower-case hex and is also a valid W3C trace id.

Random ids are drawn by the caller; derived ids are hashes, so that the same cause can never make two executions.
"""

import hashlib
import re

EXECUTION_ID = re.compile(r"[0-9a-f]{32}")
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
EVENT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,7}")
EVENT_PATTERN = re.compile(r"(?:[A-Za-z0-9_-]{1,64}|\*)(?:\.(?:[A-Za-z0-9_-]{1,64}|\*)){0,7}")
ENVIRONMENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def is_execution_id(text: str) -> bool:
    """True for 32 lower-case hex digits that are not all zero (all zero is no valid trace id)."""
    return EXECUTION_ID.fullmatch(text) is not None and text != "0" * 32


def is_function_name(text: str) -> bool:
    return FUNCTION_NAME.fullmatch(text) is not None


def is_event_name(text: str) -> bool:
    return EVENT_NAME.fullmatch(text) is not None


def _digest(*parts: str) -> str:
    # Lengths in front of the parts: ("ab", "c") and ("a", "bc") must not meet in one id.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return digest if digest != "0" * 32 else "1" * 32


def keyed_execution_id(environment: str, function: str, key: str) -> str:
    """The execution that an idempotency key means, within one function of one environment."""
    return _digest("key", environment, function, key)


def event_execution_id(environment: str, event_id: str, function: str) -> str:
    """The execution that one stored event starts in one function."""
    return _digest("event", environment, event_id, function)


def tick_execution_id(environment: str, schedule: str, tick_us: int) -> str:
    """The execution of one schedule tick (microseconds since the epoch)."""
    return _digest("tick", environment, schedule, str(tick_us))


def child_execution_id(parent_id: str, call: str, index: int) -> str:
    """The execution that a call inside the parent makes; the call's name holds its number, `index` counts within it."""
    return _digest("child", parent_id, call, str(index))


def hook_execution_id(environment: str, execution_id: str, n: int) -> str:
    """The execution that a hook makes of a final fact: the ended execution's fact with this number."""
    return _digest("hook", environment, execution_id, str(n))


def batch_execution_id(first_member: str) -> str:
    """The batch whose first member is this execution; no execution is ever a member of two."""
    return _digest("batch", first_member)


def event_record_id(environment: str, source: str, event_id: str) -> str:
    """A name for what is stored of an event with this CloudEvents identity (source and id)."""
    return _digest("record", environment, source, event_id)


_SPAN_HASH = hashlib.blake2b(digest_size=8)
_NO_SPAN = bytes(8)


def span_id(execution_id: str, *path: str) -> str:
    """A W3C span id (16 hex digits) that anyone can compute from the execution and its path in it."""
    return span_bytes("/".join((execution_id, *path))).hex()


def span_bytes(place: str) -> bytes:
    """The same id as bytes; `place` is the execution and the path in it, joined by slashes."""
    hashed = _SPAN_HASH.copy()
    hashed.update(place.encode())
    digest = hashed.digest()
    return digest if digest != _NO_SPAN else b"\x11" * 8


def content_hash(content: bytes) -> str:
    """128-bit hex digest; tells a repeated request from a different one under the same idempotency key."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
