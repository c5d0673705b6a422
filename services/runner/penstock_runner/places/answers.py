"""What an answer over HTTP means for the attempt. Pure.

2xx is the result, 4xx fails for good except 408, 409 and 429, and everything else is worth another try; `Retry-After`
then says when.
"""

import email.utils
from datetime import UTC
from http import HTTPStatus
from typing import Any

import msgspec

from penstock.domain.function.target import shown_url
from penstock.domain.limits import delay_seconds_max, error_message_chars_max, error_stack_chars_max
from penstock.egress.sender import Answer
from penstock.functions.failures import clean
from penstock_runner.places.result import judged, not_serialisable
from penstock_runner.workers.messages import Raised, Returned

RETRIED = frozenset({408, 409, 429})
"""Client errors that may pass."""
_EXCERPT_CHARS = 1000


def ending_of(number: int, url: str, answer: Answer, now: float) -> Returned | Raised:
    """How the attempt ended; `now` is seconds since the epoch. 202 is not decided here."""
    if 200 <= answer.status < 300:
        encoding = answer.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            sentence = f"The answer of {shown_url(url)} is encoded ({encoding:.20}), which was not asked for."
            return not_serialisable(number, sentence)
        return judged(number, answer.body, f"The answer of {shown_url(url)}")
    terminal = 400 <= answer.status < 500 and answer.status not in RETRIED
    kind, message, stack = _told(answer.body or b"")
    hint = ""
    if 300 <= answer.status < 400:
        hint = " Redirects are not followed: declare the function with the address that answers."
    sentence = f"{shown_url(url)} answered {_status_text(answer.status)}{': ' + message if message else '.'}{hint}"
    return Raised(
        number,
        "user_error",
        clean(kind or f"HTTP {answer.status}", 256),
        clean(sentence, error_message_chars_max),
        clean(stack, error_stack_chars_max),
        terminal=terminal,
        retry_after=None if terminal else retry_after(answer.headers.get("retry-after"), now),
    )


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds until the next try, from a number of seconds or a date; None for what is neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(min(int(text[:12]), delay_seconds_max))
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, at.timestamp() - now), float(delay_seconds_max))


def _told(body: bytes) -> tuple[str, str, str]:
    """(type, message, stack) of an error as the other side tells it: a problem document, an error, or plain text."""
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", clean(body[: _EXCERPT_CHARS * 4].decode("utf-8", "replace").strip(), _EXCERPT_CHARS), ""
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        found = found["error"]
    if not isinstance(found, dict):
        return "", clean(body.decode().strip(), _EXCERPT_CHARS), ""
    kind = found.get("type")
    # The type of a problem document is an address for people to look at.
    kind = kind if isinstance(kind, str) and ":" not in kind else ""
    messages = [found.get(name) for name in ("message", "detail", "title", "error")]
    message = next((text for text in messages if isinstance(text, str) and text), "")
    stack = found.get("stack")
    return kind, message or clean(body.decode().strip(), _EXCERPT_CHARS), stack if isinstance(stack, str) else ""


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
