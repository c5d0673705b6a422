"""Hooks as authors write them: `on_failure=`, `on_success=`, `on_cancel=` of a function, and those of a whole app."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from penstock.domain.errors import Rejected
from penstock.domain.execution.hooks import HOOKS, Hooks
from penstock.domain.ids import is_function_name
from penstock.functions.batches import BatchParameters
from penstock.functions.parameters import Parameters


@runtime_checkable
class Declared(Protocol):
    """A function of an app."""

    @property
    def name(self) -> str: ...

    parameters: Parameters


def hook_options(options: Mapping[str, Any], where: str) -> Hooks:
    """The hooks among the options of a function. Raises Rejected `invalid_option` or `invalid_name`."""
    return Hooks(**{each: _name(options[each], each, where) for each in HOOKS if options.get(each) is not None})


def check_hook(declared: Declared, outcome: str) -> None:
    """Nobody calls a hook with arguments. Raises Rejected `invalid_option`."""
    if isinstance(declared.parameters, BatchParameters):
        raise Rejected("invalid_option", f"{declared.name} runs in batches, so it cannot be the {outcome} hook.")
    needed = ", ".join(field.name for field in declared.parameters.fields if field.required)
    if needed:
        raise Rejected(
            "invalid_option",
            f"{declared.name} is an {outcome} hook and so gets `event` and `ctx` only, but it also needs {needed}.",
        )


def _name(value: object, outcome: str, where: str) -> str:
    if isinstance(value, str):
        if not is_function_name(value):
            raise Rejected("invalid_name", f"{outcome} of {where} must name a function, not {value[:80]!r}.")
        return value
    if not isinstance(value, Declared):
        raise Rejected(
            "invalid_option",
            f"{outcome} of {where} must be a function of an app, or its name, not {value!r:.80}. "
            "Put @app.function above it.",
        )
    check_hook(value, outcome)
    return value.name
