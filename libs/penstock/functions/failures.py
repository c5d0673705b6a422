"""Exceptions of user code as text: bounded, without local variables, safe when they cannot be printed."""

import traceback
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

from penstock.domain.errors import Rejected
from penstock.domain.limits import error_message_chars_max, error_stack_chars_max
from penstock.functions.errors import (
    BatchMismatch,
    Diverged,
    ResultNotSerialisable,
    RetryAfter,
    StepInterrupted,
    StepTimedOut,
    Terminal,
)

_FRAMES_MAX = 40
_MARK = "_penstock_step"
_OURS = ("/penstock_runner/workers/", "/penstock/functions/")


class Failure(NamedTuple):
    """An error code of the catalogue, the exception as text, and what it says about retries."""

    code: str
    type: str
    message: str
    stack: str
    terminal: bool = False
    retry_after: float | None = None
    step: str = ""
    step_at: int = 0
    """Where it came out of a step, and when that had begun (µs)."""


def mark(error: BaseException, step: str, started_at: int) -> None:
    """Remember that the exception comes out of this step; what cannot be marked goes without."""
    with suppress(Exception):
        vars(error)[_MARK] = (step, started_at)


def failure_of(error: BaseException, *, limited: bool = False) -> Failure:
    """What an exception of user code means; `limited` says that its process has a memory limit."""
    code, terminal, retry_after = "user_error", False, None
    match error:
        case ResultNotSerialisable():
            code, terminal = "result_not_serialisable", True
        case Diverged():
            code, terminal = "diverged", True
        case StepInterrupted():
            code, terminal = "step_interrupted", True
        case StepTimedOut():
            code = "timed_out"
        case BatchMismatch():
            code, terminal = "batch_mismatch", True
        case Terminal():
            terminal = True
        case RetryAfter():
            retry_after = error.delay
        case MemoryError() if limited:
            code, terminal = "out_of_memory", True
        case Rejected() if error.code == "invalid_arguments":
            code, terminal = error.code, True
        case BaseExceptionGroup():
            # A TaskGroup wraps what its tasks raise: what one of them says about retries counts all the same.
            parts = [failure_of(part, limited=limited) for part in error.exceptions]
            code = next((part.code for part in parts if part.terminal), code)
            terminal = any(part.terminal for part in parts)
            retry_after = max((part.retry_after for part in parts if part.retry_after is not None), default=None)
    name = clean(type(error).__qualname__, 256)
    # Taken away: a module may raise one and the same object again in another execution.
    step, step_at = getattr(error, "__dict__", {}).pop(_MARK, ("", 0))
    return Failure(code, name, message_of(error), stack_of(error), terminal, retry_after, step, step_at)


def clean(text: str, limit: int) -> str:
    """Text that any encoder takes, cut to its limit."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return text.encode("utf-8", "replace").decode()


def message_of(error: BaseException) -> str:
    """What the exception says; a sentence of ours when it breaks at that."""
    if isinstance(error, SystemExit):
        return f"The function called sys.exit({error.code!r:.80})."
    if isinstance(error, KeyboardInterrupt):
        return "The function raised KeyboardInterrupt."
    try:
        text = str(error)
        if not text and isinstance(error, MemoryError):
            return "There was no memory left for what the function asked for."
        return clean(text, error_message_chars_max)
    except BaseException as second:
        return f"The exception cannot be shown: its __str__ raised {type(second).__name__}."


def stack_of(error: BaseException) -> str:
    """The traceback without our own frames; the end of it when it is long, since that tells most."""
    try:
        error = error.with_traceback(_beyond_ours(error.__traceback__))
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-_FRAMES_MAX))
    except BaseException as second:
        return f"The traceback cannot be shown: {type(second).__name__}."
    if len(text) > error_stack_chars_max:
        text = "…" + text[-(error_stack_chars_max - 1) :]
    return clean(text, error_stack_chars_max)


def _beyond_ours(trace: TracebackType | None) -> TracebackType | None:
    at = trace
    while at is not None and any(part in at.tb_frame.f_code.co_filename for part in _OURS):
        at = at.tb_next
    return at or trace
