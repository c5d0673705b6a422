"""A call to try first: a function of the app that needs no event, with arguments that fit its parameters. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.domain.function.options import FunctionSpec

UNKNOWN = "[...]"
_VALUES: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None}


def sample_call(specs: Iterable[FunctionSpec]) -> tuple[str, str] | None:
    """Name and `--args` of the first function that can be called so; None where there is no function."""
    calls = [(spec.name, _arguments(spec)) for spec in sorted(specs, key=lambda spec: (bool(spec.on), spec.name))]
    known = [(name, arguments) for name, arguments in calls if arguments is not None]
    return next(iter(known or [(name, UNKNOWN) for name, _ in calls]), None)


def _arguments(spec: FunctionSpec) -> str | None:
    """JSON that the function takes, None where that cannot be told from the schema at a glance."""
    required: Any = spec.parameters.get("required", [])
    properties: Any = spec.parameters.get("properties", {})
    if not set(required) <= set(spec.positional):
        return None
    values = [_value(name, properties[name]) for name in spec.positional if name in required]
    return None if UNKNOWN in values else msgspec.json.encode(values).decode().replace(",", ", ")


def _value(name: str, schema: Any) -> Any:
    """A value of the schema; UNKNOWN if it says more than a type."""
    kind = schema.get("type") if set(schema) <= {"type", "items", "title"} else None
    if kind == "string":
        return name
    return _VALUES.get(kind, UNKNOWN) if isinstance(kind, str) else UNKNOWN
