"""Options of functions and calls as authors write them, turned into what the registry and the doors take."""

import difflib
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.execution.hooks import HOOKS
from penstock.domain.function.options import CallOptions
from penstock.functions.backoff import Fixed, Linear, Quartic, Retry
from penstock.functions.flow import FLOW_OPTIONS, FLOW_TYPES

FUNCTION_OPTIONS = (
    *("name", "retries", "backoff", "timeout", "total_timeout", "heartbeat", "concurrency", "memory"),
    *("losses", "on", "when", "pause_on_failure", "on_version_change"),
    *HOOKS,
    *FLOW_OPTIONS,
)
APP_OPTIONS = (
    *("retries", "backoff", "timeout", "total_timeout", "heartbeat", "concurrency", "memory", "losses"),
    *("pause_on_failure", "on_version_change"),
)
CALL_OPTIONS = CallOptions.__struct_fields__

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

KEY_NAMES = ("event", "args", "kwargs", "metadata")
"""What the CEL of a key sees; that of `when` sees the event alone."""
_CEL_NAMES = frozenset(
    {"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "cel", "math", "optional"}
)
_BOUND = re.compile(r"\(\s*([A-Za-z_]\w*)\s*,")


def check_names(given: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    """Raises Rejected `invalid_option` for an unknown option, with the names near to it."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Known are {', '.join(known)}."
            raise Rejected("invalid_option", f"{where} has no option {name!r}. {hint}")


def memory_bytes(value: str | int) -> int:
    """Bytes of a size such as "512MB" or "1GiB". Raises Rejected `invalid_option`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise Rejected("invalid_option", f"memory must be a size such as '512MB' or '1GiB', not {value!r}.")
    return int(float(match[1]) * _UNITS[match[2]])


def check_types(options: Mapping[str, Any], where: str) -> None:
    """Raises Rejected `invalid_option` for a value of the wrong type."""
    expected: dict[str, tuple[type, ...]] = {
        "name": (str,),
        "retries": (int,),
        "backoff": (Retry, Linear, Fixed, Quartic),
        "concurrency": (int,),
        "losses": (int,),
        "on": (str, list, tuple),
        "when": (str,),
        "pause_on_failure": (bool,),
        "on_version_change": (str,),
        **FLOW_TYPES,
    }
    for name, types in expected.items():
        value = options.get(name)
        if value is None:
            continue
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wanted = " or ".join(kind.__name__ for kind in types)
            raise Rejected("invalid_option", f"{name} of {where} must be {wanted}, not {value!r}.")


def check_expression(text: str, where: str, option: str = "when", known: Collection[str] = ("event",)) -> None:
    """Raises Rejected `invalid_option` when the option is no CEL expression, or asks for what is not there."""
    # Loaded only by those who use one: it takes a third of a second.
    import cel

    try:
        names = cel.compile(text).variables()
    except ValueError as error:
        raise Rejected("invalid_option", f"{option} of {where} is no CEL expression: {error}") from None
    strange = sorted(set(names).difference(known, _CEL_NAMES, _BOUND.findall(text)))
    if strange:
        raise Rejected("invalid_option", f"{option} of {where} sees {', '.join(known)}; there is no {strange[0]!r}.")


def call_options(given: Mapping[str, Any]) -> CallOptions:
    """Options of one call, with Python's durations and instants made into text. Raises Rejected `invalid_option`."""
    check_names(given, CALL_OPTIONS, "A call")
    plain = dict(given)
    for name in ("delay", "discard_after", "timeout", "total_timeout"):
        if isinstance(plain.get(name), timedelta):
            plain[name] = seconds(plain[name], name)
    at = plain.get("at")
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise Rejected("invalid_option", "at needs a time zone: datetime.now(UTC) + ..., not datetime.now().")
        plain["at"] = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    try:
        return msgspec.convert(plain, CallOptions)
    except msgspec.ValidationError as error:
        raise Rejected("invalid_option", f"An option of the call is wrong: {error}") from None
