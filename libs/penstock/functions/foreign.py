"""`app.http` and `app.command` as authors write them: the options that fit, the target, the refusal to run here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.domain.errors import Rejected
from penstock.domain.function.target import CommandTarget, HttpTarget
from penstock.functions.options import FUNCTION_OPTIONS

START_OPTIONS = ("cron", "every", "timezone", "catch_up", "overlap", "jitter")
"""What makes a schedule, as `@app.cron` takes it."""
_PYTHON_ONLY = ("name", "heartbeat", "batch")
"""`heartbeat` is for code that can call `ctx.heartbeat()`; `batch` reads what it collects from type hints."""
COMMAND_OPTIONS = tuple(name for name in (*FUNCTION_OPTIONS, *START_OPTIONS) if name not in _PYTHON_ONLY)
HTTP_OPTIONS = tuple(name for name in COMMAND_OPTIONS if name != "memory")


def http_target(name: str, url: object, secret_env: object, secret_file: object) -> HttpTarget:
    """Raises Rejected `invalid_option` for what is no text; the rest is judged with the whole declaration."""
    for option, value in (("url", url), ("secret_env", secret_env), ("secret_file", secret_file)):
        if not isinstance(value, str):
            raise Rejected("invalid_option", f"{option} of {name} must be str, not {type(value).__name__}.")
    return HttpTarget(url=str(url), secret_env=str(secret_env), secret_file=str(secret_file))


def command_target(name: str, command: Sequence[str]) -> CommandTarget:
    """Raises Rejected `invalid_option`."""
    if isinstance(command, str) or not isinstance(command, Sequence):
        raise Rejected(
            "invalid_option",
            f"The command of {name} must be a list of words such as ['./thumb', '--size', '100']: no shell reads it.",
        )
    for word in command:
        if not isinstance(word, str):
            raise Rejected("invalid_option", f"A word of the command of {name} is {type(word).__name__}, not str.")
    return CommandTarget(command=list(command))


def elsewhere(name: str, description: str) -> Callable[..., Any]:
    """What stands for the function in Python. It takes any arguments: what it does with them is its own affair."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{name} does not run in Python; make an execution of it with .enqueue(...).")

    if not isinstance(name, str):
        raise Rejected("invalid_name", f"The name of a function is text, not {name!r:.80}.")
    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = description
    return refuse


def split_options(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options of the function, options of its schedule)"""
    own = {name: value for name, value in given.items() if name not in START_OPTIONS}
    return own, {name: given[name] for name in START_OPTIONS if name in given}
