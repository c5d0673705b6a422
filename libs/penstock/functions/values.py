"""Python values to JSON, changing nothing silently: what JSON cannot carry is refused with the place where it sits."""

import dataclasses
import math
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from penstock.domain.limits import integer_max, json_depth_max
from penstock.functions.errors import ResultNotSerialisable

_encoder = msgspec.json.Encoder()
_SMALL = frozenset({bool, type(None)})
_TEXTUAL = (datetime, date, time, timedelta, UUID, Decimal)
"""Types with one usual form in JSON, as msgspec writes it."""


def to_json(value: Any) -> bytes:
    """JSON of a result or an argument. Raises ResultNotSerialisable naming the place and the type."""
    try:
        return _encoder.encode(_plain(value, "$", 0))
    except UnicodeEncodeError:
        raise ResultNotSerialisable("A text in it is no valid Unicode (a lone surrogate).") from None


def pydantic_model() -> type | None:
    """pydantic's BaseModel if somebody imported pydantic; we never do."""
    module = sys.modules.get("pydantic")
    return getattr(module, "BaseModel", None)


def _plain(value: Any, path: str, depth: int) -> Any:
    kind = type(value)
    if kind is str or kind in _SMALL:
        return value
    if kind is int:
        if -integer_max - 1 <= value <= integer_max:
            return value
        raise ResultNotSerialisable(f"{path} is a whole number beyond 64 bits; return it as text.")
    if kind is float:
        if math.isfinite(value):
            return value
        raise ResultNotSerialisable(f"{path} is {value}, which JSON cannot carry; return None or text instead.")
    if depth >= json_depth_max:
        raise ResultNotSerialisable(f"It is nested more than {json_depth_max} deep, or contains itself.")
    if kind is dict:
        return _plain_dict(value, path, depth)
    if kind is list or kind is tuple:
        return [_plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _plain_object(value, path, depth)


def _plain_dict(value: dict[Any, Any], path: str, depth: int) -> dict[str, Any]:
    for key in value:
        if type(key) is not str:
            raise ResultNotSerialisable(f"{path} has the key {key!r:.80}; keys of JSON objects are text.")
    return {key: _plain(item, f"{path}.{key}", depth + 1) for key, item in value.items()}


def _plain_object(value: Any, path: str, depth: int) -> Any:
    """What is none of JSON's own types: structs, dataclasses, models, dates, enums, and subclasses of JSON's types."""
    if isinstance(value, msgspec.Struct):
        return _plain_struct(value, path, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _plain(fields, path, depth)
    if isinstance(value, Enum):
        return _plain(value.value, path, depth)
    if isinstance(value, _TEXTUAL):
        return value
    model = pydantic_model()
    if model is not None and isinstance(value, model):
        return _plain(value.model_dump(mode="python"), path, depth)  # type: ignore[attr-defined]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return _plain(int(value), path, depth)
    if isinstance(value, float):
        return _plain(float(value), path, depth)
    if isinstance(value, dict):
        return _plain_dict(value, path, depth)
    if isinstance(value, list | tuple):
        return _plain(list(value), path, depth)
    if isinstance(value, bytes | bytearray | memoryview):
        raise ResultNotSerialisable(
            f"{path} is {type(value).__name__}; encode it as text, or store it and return where."
        )
    if isinstance(value, set | frozenset):
        raise ResultNotSerialisable(f"{path} is a {type(value).__name__}, which has no order; return a sorted list.")
    raise ResultNotSerialisable(
        f"{path} is of type {type(value).__qualname__}; return JSON types, dataclasses, structs or models."
    )


def _plain_struct(value: msgspec.Struct, path: str, depth: int) -> Any:
    """Each field is judged as it is; then msgspec writes the struct by its own rules (names, tags)."""
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if field is not msgspec.UNSET and not isinstance(field, msgspec.Raw):
            _plain(field, f"{path}.{name}", depth + 1)
    return msgspec.to_builtins(value, builtin_types=_TEXTUAL, enc_hook=_model_fields)


def _model_fields(value: Any) -> Any:
    """What msgspec does not know inside a struct: it can only be a model or a subclass of JSON's types."""
    return _plain_object(value, "$", 0)
