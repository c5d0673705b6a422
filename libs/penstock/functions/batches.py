"""Functions that run in batches: they take one list, to which each execution brings one item, and return a list."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from penstock.domain.errors import Rejected
from penstock.functions.context import Context
from penstock.functions.errors import BatchMismatch
from penstock.functions.event import Event
from penstock.functions.parameters import Parameters


class Member(NamedTuple):
    """What one execution of a batch was given: JSON of its arguments, and its event."""

    args: bytes
    kwargs: bytes
    event: Event | None


class BatchParameters(Parameters):
    """What each execution brings: an item of the list that the function takes, or its event. Else as Parameters."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        super().__init__(function, name)
        taken = [field.name for field in self.fields] + ([self.event] if self.event is not None else [])
        rest = (self.rest_args, self.rest_kwargs)
        if len(taken) != 1 or any(each is not inspect.Parameter.empty for each in rest):
            raise _no_list(name)
        self.list_name = taken[0]

    @property
    def of_events(self) -> bool:
        """True if the items are events."""
        return self.event is not None

    def _add(self, parameter: inspect.Parameter, hint: Any) -> None:
        variable = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if not variable and parameter.name != "ctx" and hint is not Context:
            if parameter.default is not inspect.Parameter.empty:
                raise _no_list(self.function)
            hint = _item_hint(hint, self.function)
        super()._add(parameter, hint)

    def items(self, members: Sequence[Member]) -> list[Any]:
        """The list, checked. Raises Rejected `invalid_arguments` naming the execution at fault by its place."""
        found: list[Any] = []
        for number, member in enumerate(members, 1):
            try:
                _, values = self.bind(member.args, member.kwargs)
            except Rejected as refusal:
                raise Rejected("invalid_arguments", f"Number {number} of the batch: {refusal.detail}") from None
            if self.of_events and member.event is None:
                raise Rejected("invalid_arguments", f"Number {number} of the batch has no event.")
            found.append(member.event if self.of_events else values[self.list_name])
        return found

    def fill(
        self, rest: list[Any], values: dict[str, Any], context: Context, event: Event | None
    ) -> tuple[list[Any], dict[str, Any]]:
        """The call for one execution alone, which is a batch of its own."""
        if self.of_events and event is None:
            raise Rejected("invalid_arguments", f"{self.function} collects events; publish one instead of calling it.")
        return self.call([event if self.of_events else values[self.list_name]], context)

    def result(self, value: Any) -> Any:
        """The element of the one execution. Raises BatchMismatch."""
        return results(value, 1)[0]

    def call(self, items: list[Any], context: Context) -> tuple[list[Any], dict[str, Any]]:
        """The call itself."""
        values: dict[str, Any] = {self.list_name: items}
        if self.context is not None:
            values[self.context] = context
        return self.arrange([], values)


def results(value: Any, count: int) -> list[Any]:
    """The result of a batch, one element for each of its executions. Raises BatchMismatch."""
    if not isinstance(value, list | tuple):
        raise BatchMismatch(f"A batch returns a list with {count} elements, one for each item, not {_kind(value)}.")
    if len(value) != count:
        raise BatchMismatch(f"The list that was returned has {len(value)} elements, and the batch {count} items.")
    return list(value)


def element_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Stands for the function as its callers see it: only its return hint is looked at, one element of the list."""

    def element() -> None: ...

    try:
        parts = get_args(get_type_hints(function).get("return", Any))
    except (TypeError, NameError, AttributeError):
        parts = ()
    element.__annotations__ = {"return": parts[0] if len(parts) == 1 else Any}
    return element


def _kind(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _item_hint(hint: Any, name: str) -> Any:
    if hint is Any or hint is list:
        return Any
    origin, parts = get_origin(hint), get_args(hint)
    if origin is None or not isinstance(origin, type) or not issubclass(list, origin) or len(parts) != 1:
        raise _no_list(name)
    return parts[0]


def _no_list(name: str) -> Rejected:
    return Rejected(
        "invalid_option",
        f"{name} runs in batches: it takes one list besides `ctx`, without a default, such as `names: list[str]` or "
        "`events: list[Event]`.",
    )
