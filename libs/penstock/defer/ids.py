"""Ids of attempts: the id of the execution, a hyphen, and the number of the attempt."""

import re
from typing import NamedTuple

from penstock.domain.ids import is_execution_id

_ATTEMPT = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,8})")


class Address(NamedTuple):
    """What an id means: an execution, or one attempt of it."""

    execution_id: str
    attempt: int | None = None


def attempt_id(execution_id: str, attempt: int) -> str:
    return f"{execution_id}-{attempt}"


def parse_id(text: str) -> Address | None:
    """What the id means; None for what cannot be an id of ours."""
    if is_execution_id(text):
        return Address(text)
    match = _ATTEMPT.fullmatch(text)
    if match is None or not is_execution_id(match[1]):
        return None
    return Address(match[1], int(match[2]))
