"""JSON that came from user code, judged before it becomes a result. Pure."""

from typing import TypeVar

import msgspec
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.limits import foreign_result_bytes_max
from penstock.wire.json import check_json
from penstock_runner.workers.messages import Raised, Returned

_within_a_fact = msgspec.json.Decoder(dict[str, Raw]).decode

AnyEnding = TypeVar("AnyEnding")


def storable(ending: AnyEnding) -> AnyEnding | Raised:
    """The same, unless its result would make a fact that nobody can read."""
    if not isinstance(ending, Returned) or ending.path:
        return ending
    try:
        _within_a_fact(b'{"result":' + ending.result + b"}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return not_serialisable(ending.number, f"The result is no JSON that can be stored: {str(error)[:200]}.")
    return ending


def judged(number: int, data: bytes | None, where: str) -> Returned | Raised:
    """The result, if it is one; None stands for more than there may be. `where` says what the JSON is of."""
    if data is None:
        return not_serialisable(
            number, f"{where} is larger than {foreign_result_bytes_max} bytes; store it and return where."
        )
    data = data.strip()
    if not data:
        return Returned(number)
    try:
        check_json(data, "")
    except Rejected as refusal:
        return not_serialisable(number, f"{where} is no JSON that can be stored. {refusal.detail}")
    return Returned(number, data)


def not_serialisable(number: int, sentence: str) -> Raised:
    return Raised(number, "result_not_serialisable", "ResultNotSerialisable", sentence, "", terminal=True)
