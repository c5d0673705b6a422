"""Stored results of steps and children as the return hint of their function says, the same on every replay."""

import typing
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

_hints: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def typed_value(function: Callable[..., Any], data: bytes) -> Any:
    """The value of the JSON, as the hint says; JSON types where the function returned something else than it says."""
    value = msgspec.json.decode(data)
    hint = _return_hint(function)
    if hint is Any or (hint is type(value) and hint in (str, bool)):
        return value
    try:
        return msgspec.convert(value, hint, dec_hook=_model)
    except (msgspec.ValidationError, NotImplementedError, TypeError):
        # The hint promises something else than what the function returned; JSON types it is then, every time.
        return value


def _return_hint(function: Callable[..., Any]) -> Any:
    with suppress(TypeError):
        known = _hints.get(function)
        if known is not None:
            return known
    try:
        hint = typing.get_type_hints(function).get("return", Any)
    except (TypeError, NameError, AttributeError):
        hint = Any
    hint = Any if hint is type(None) else hint
    with suppress(TypeError):
        _hints[function] = hint
    return hint


def _model(kind: type, value: Any) -> Any:
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    raise NotImplementedError
