"""Plain values as YAML for people to read: block style, texts quoted as JSON quotes them wherever that is safer."""

import json
import re
from collections.abc import Iterator
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def to_yaml(value: Any) -> str:
    """A document. Mappings keep their order."""
    return "\n".join(_lines(value, 0)) + "\n"


def _lines(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _entry(f"{indent}{_scalar(str(key))}:", each, depth)
    else:
        for each in value:
            nested = list(_lines(each, depth + 1)) if isinstance(each, dict | list) and each else [_scalar(each)]
            yield f"{indent}- {nested[0].strip()}"
            yield from nested[1:]


def _entry(start: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield start
        yield from _lines(value, depth + 1)
    else:
        yield f"{start} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return json.dumps(value, ensure_ascii=False)
