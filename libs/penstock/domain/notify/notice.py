"""A notice: what one rule has to say about one fact, before any channel gives it a form."""

import re

import msgspec

from penstock.domain.execution.facts import ErrorInfo
from penstock.domain.ids import content_hash

MESSAGE_CHARS_MAX = 300
STACK_CHARS_MAX = 1500
STACK_LINES_MAX = 12

_VARYING = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8,}|\d+|'[^']*'|\"[^\"]*\"")
_FRAME = re.compile(r'^\s*File "([^"]*)", line \d+, in (.+)$', re.MULTILINE)


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told.

    `about` is an outcome (`failed`, `retrying`, ...), `digest` or `recovered` of an incident, or the name of a
    condition (`queue_older_than`, ...), which is `over` when it no longer holds. `incident` is the id of the notice
    that opened the incident. Times are microseconds.
    """

    id: str
    rule: str
    about: str
    at: int
    text: str
    function: str = ""
    schedule: str = ""
    execution_id: str = ""
    attempt: int = 0
    error: ErrorInfo | None = None
    incident: str = ""
    count: int = 1
    since: int = 0
    over: bool = False
    sequence: int = 0
    """Where the fact behind it stands in the log; 0 if it is about the passing of time."""

    @property
    def is_good(self) -> bool:
        """True for news that nobody needs to act on."""
        return self.over or self.about in ("recovered", "succeeded")


def notice_id(rule: str, *identity: str) -> str:
    """The same fact and rule always have the same id, whoever looks and however often."""
    parts = ("notice", rule, *identity)
    return content_hash("".join(f"{len(part)}:{part}" for part in parts).encode())


def fingerprint(error: ErrorInfo | None) -> str:
    """What errors of one cause have in common: code, type and the innermost frame, without line numbers and values."""
    if error is None:
        return ""
    frames = _FRAME.findall(error.stack)
    place = "/".join(frames[-1]) if frames else _VARYING.sub("#", error.message[:MESSAGE_CHARS_MAX])
    return content_hash("\n".join((error.code, error.type, place)).encode())[:16]


def shortened(error: ErrorInfo | None) -> ErrorInfo | None:
    """The error as it travels in messages: the last lines of the stack, where the reason stands."""
    if error is None:
        return None
    lines = error.stack.rstrip().splitlines()
    if len(lines) > STACK_LINES_MAX:
        lines = ["...", *lines[-STACK_LINES_MAX:]]
    stack = "\n".join(lines)
    if len(stack) > STACK_CHARS_MAX:
        stack = "..." + stack[-STACK_CHARS_MAX:]
    return msgspec.structs.replace(error, message=cut(error.message), stack=stack)


def cut(text: str, room: int = MESSAGE_CHARS_MAX) -> str:
    """The beginning of the text, with dots where something is missing."""
    return text if len(text) <= room else text[: room - 3] + "..."
