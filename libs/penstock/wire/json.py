"""Strict JSON from outside: UTF-8, no NaN, whole numbers within 64 bits, nesting within its limit."""

import re
from typing import Any

import msgspec
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.limits import integer_max, json_depth_max

_fields_decoder = msgspec.json.Decoder(dict[str, Raw])
_any_decoder = msgspec.json.Decoder()

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def decode_fields(body: bytes, code: str, sentence: str) -> dict[str, Raw]:
    """The members of a JSON object, each still JSON.

    Raises Rejected `invalid_json` for what is no JSON, and `code` with the sentence for JSON that is no object.
    """
    try:
        return _fields_decoder.decode(body)
    except msgspec.ValidationError:
        raise Rejected(code, sentence) from None
    except RecursionError:
        raise too_deep("") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid_json(error) from None


def check_json(raw: bytes | Raw, pointer: str) -> Any:
    """The decoded value, after its depth and its numbers were checked.

    Raises Rejected `invalid_json`, `too_deep`, or `invalid_arguments` for whole numbers beyond 64 bits.
    """
    data = bytes(raw)
    if data.count(b"[") + data.count(b"{") > json_depth_max and depth(data) > json_depth_max:
        raise too_deep(pointer)
    try:
        value = _any_decoder.decode(data)
    except RecursionError:
        raise too_deep(pointer) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid_json(error) from None
    if _LONG_NUMBER.search(data):
        _check_numbers(value, pointer)
    return value


def depth(data: bytes) -> int:
    """Deepest nesting of arrays and objects. It only counts brackets outside strings, so no depth can exhaust it."""
    deepest = level = 0
    for match in _BRACKET.finditer(_STRING.sub(b"", data)):
        if match.group() in b"[{":
            level += 1
            deepest = max(deepest, level)
        else:
            level -= 1
    return deepest


def _check_numbers(value: Any, pointer: str) -> None:
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        if not -integer_max - 1 <= value <= integer_max:
            raise Rejected(
                "invalid_arguments",
                "A whole number beyond 64 bits loses its value in most languages. Send it as a string.",
                pointers=[(pointer, "beyond 64 bits")],
            )
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_numbers(item, f"{pointer}/{index}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(item, f"{pointer}/{escape(key)}")


def escape(token: str) -> str:
    """One token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def too_deep(pointer: str) -> Rejected:
    return Rejected(
        "too_deep",
        f"The JSON is nested more than {json_depth_max} levels deep.",
        pointers=[(pointer, "too deep")] if pointer else None,
        limit=json_depth_max,
    )


def invalid_json(error: Exception) -> Rejected:
    return Rejected("invalid_json", f"The body is not valid JSON: {str(error)[:200]}.")
