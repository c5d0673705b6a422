"""The parameters of a function: their JSON Schema, and JSON arguments checked against type hints before a run."""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, Union, get_args, get_origin

import msgspec

from penstock.domain.errors import Rejected
from penstock.functions.context import Context
from penstock.functions.event import Event
from penstock.functions.values import pydantic_model

_EXACT = (str, int, float, bool)
_args_decoder = msgspec.json.Decoder(list[Any])
_kwargs_decoder = msgspec.json.Decoder(dict[str, Any])

Pointers = list[tuple[str, str]]


class Parameter(NamedTuple):
    """One parameter that callers fill in."""

    name: str
    hint: Any
    required: bool
    positional_only: bool
    keyword_only: bool


class Parameters:
    """What a function takes. `context` and `event` name the parameters that we fill in, or are None."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function = name
        self.context: str | None = None
        self.event: str | None = None
        self.event_required = False
        self.fields: list[Parameter] = []
        self.rest_args: Any = inspect.Parameter.empty
        self.rest_kwargs: Any = inspect.Parameter.empty
        self._order: list[str] = []
        hints = _hints(function, name)
        for parameter in inspect.signature(function).parameters.values():
            self._add(parameter, hints.get(parameter.name, Any))
        self._named = {field.name: field for field in self.fields if not field.positional_only}
        self._positional = [field for field in self.fields if not field.keyword_only]
        # Calls by keyword are the simplest; only these two shapes need an argument list.
        self._by_position = self.rest_args is not inspect.Parameter.empty or any(
            field.positional_only for field in self.fields
        )
        self.schema = self._schema()
        self.positional = [field.name for field in self._positional]

    def _add(self, parameter: inspect.Parameter, hint: Any) -> None:
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            self.rest_args = hint
            return
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            self.rest_kwargs = hint
            return
        positional_only = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if not keyword_only:
            self._order.append(parameter.name)
        if _is(hint, Context) or parameter.name == "ctx":
            self.context = parameter.name
        elif _is(hint, Event) or (parameter.name == "event" and hint is Any):
            self.event, self.event_required = parameter.name, required and not _takes_none(hint)
        else:
            self.fields.append(Parameter(parameter.name, hint, required, positional_only, keyword_only))

    def _schema(self) -> dict[str, object]:
        rest = [] if self.rest_kwargs is inspect.Parameter.empty else [self.rest_kwargs]
        try:
            schemas, components = msgspec.json.schema_components(
                [field.hint for field in self.fields] + rest, schema_hook=_schema_of, ref_template="#/$defs/{name}"
            )
        except (TypeError, NotImplementedError) as error:
            raise Rejected(
                "invalid_option",
                f"{self.function} has a parameter whose type JSON cannot fill: {str(error).strip().splitlines()[-1]}. "
                "Use JSON types, dataclasses, structs or models; typing.Any takes everything.",
            ) from None
        for one in (*schemas, *list(components.values())):
            _hoist(one, components)
        schema: dict[str, object] = {
            "type": "object",
            "properties": {field.name: schemas[at] for at, field in enumerate(self.fields)},
            "required": [field.name for field in self.fields if field.required],
            "additionalProperties": schemas[-1] if rest else False,
        }
        if self.rest_args is not inspect.Parameter.empty:
            # JSON Schema has no word for it; ingest reads this one and lets further positional arguments through.
            schema["x-rest-args"] = True
        if components:
            schema["$defs"] = dict(components)
        return schema

    def bind(self, args: bytes | msgspec.Raw, kwargs: bytes | msgspec.Raw) -> tuple[list[Any], dict[str, Any]]:
        """Arguments from JSON, without context and event. Raises Rejected `invalid_arguments` naming the fields."""
        given_args, given_kwargs = _args_decoder.decode(args), _kwargs_decoder.decode(kwargs)
        wrong: Pointers = []
        values: dict[str, Any] = {}
        for index, (field, value) in enumerate(zip(self._positional, given_args, strict=False)):
            values[field.name] = _convert(field.hint, value, f"/args/{index}", wrong)
        rest = self._rest_args(given_args[len(self._positional) :], wrong)
        for name, value in given_kwargs.items():
            known = self._named.get(name)
            hint = known.hint if known is not None else self.rest_kwargs
            if hint is inspect.Parameter.empty:
                wrong.append((f"/kwargs/{name}", "unexpected argument"))
            elif known is not None and name in values:
                wrong.append((f"/kwargs/{name}", "given twice, by position and by name"))
            else:
                values[name] = _convert(hint, value, f"/kwargs/{name}", wrong)
        if len(values) < len(self.fields) or wrong:
            wrong += [
                (f"/kwargs/{field.name}", "missing argument")
                for field in self.fields
                if field.required and field.name not in values
                and not any(pointer.endswith(f"/{field.name}") for pointer, _ in wrong)
            ]  # fmt: skip
        if wrong:
            what = "; ".join(f"{pointer[1:].replace('/', ' ')}: {detail}" for pointer, detail in wrong[:5])
            raise Rejected(
                "invalid_arguments", f"{self.function} does not take these arguments: {what}.", pointers=wrong
            )
        return rest, values

    def _rest_args(self, surplus: list[Any], wrong: Pointers) -> list[Any]:
        start = len(self._positional)
        if surplus and self.rest_args is inspect.Parameter.empty:
            wrong.extend((f"/args/{start + at}", "unexpected argument") for at in range(len(surplus)))
            return []
        return [_convert(self.rest_args, value, f"/args/{start + at}", wrong) for at, value in enumerate(surplus)]

    def fill(
        self, rest: list[Any], values: dict[str, Any], context: Context, event: Event | None
    ) -> tuple[list[Any], dict[str, Any]]:
        """The call itself: bound values with context and event where the function declares them."""
        if self.context is not None:
            values[self.context] = context
        if self.event is not None:
            if event is None and self.event_required:
                raise Rejected(
                    "invalid_arguments", f"{self.function} needs an event; publish one instead of calling it."
                )
            values[self.event] = event
        return self.arrange(rest, values)

    def result(self, value: Any) -> Any:
        """What a call with these parameters comes to for the one execution that it was made for."""
        return value

    def arrange(self, rest: list[Any], values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Named values as the call wants them: by keyword, or by position where the function insists."""
        if not self._by_position:
            return [], values
        args: list[Any] = []
        for name in self._order:
            if name not in values:
                break
            args.append(values.pop(name))
        return [*args, *rest], values


def _hoist(schema: Any, components: dict[str, Any]) -> None:
    """Move the definitions that a model brought along to where `#/$defs/` points."""
    if isinstance(schema, list):
        for item in schema:
            _hoist(item, components)
    elif isinstance(schema, dict):
        components.update(schema.pop("$defs", {}))
        for item in list(schema.values()):
            _hoist(item, components)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise Rejected(
            "invalid_option", f"The type hints of {name} cannot be read ({error}); import their types at module level."
        ) from None


def _is(hint: Any, wanted: type) -> bool:
    """True for the type itself and for a union or Annotated with it."""
    if hint is wanted:
        return True
    return get_origin(hint) is not None and any(part is wanted for part in get_args(hint))


def _takes_none(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)


def _convert(hint: Any, value: Any, pointer: str, wrong: Pointers) -> Any:
    """The value as the hint wants it; what does not fit is added to `wrong`."""
    if hint is Any or (hint in _EXACT and type(value) is hint):
        return value
    try:
        return msgspec.convert(value, hint, dec_hook=_from_model)
    except msgspec.ValidationError as error:
        wrong.append((pointer, str(error)))
    except _ModelError as error:
        wrong.extend((pointer + where, detail) for where, detail in error.problems)
    return None


class _ModelError(Exception):
    def __init__(self, problems: Pointers) -> None:
        self.problems = problems


def _from_model(kind: type, value: Any) -> Any:
    model = pydantic_model()
    if model is None or not (isinstance(kind, type) and issubclass(kind, model)):
        raise NotImplementedError(f"{kind!r} cannot be made from JSON")
    if isinstance(value, kind):
        return value
    try:
        return kind.model_validate(value)  # type: ignore[attr-defined]
    except ValueError as error:
        found = error.errors() if hasattr(error, "errors") else [{"loc": (), "msg": str(error)}]
        problems = [("".join(f"/{part}" for part in one["loc"]), str(one["msg"])) for one in found]
        raise _ModelError(problems) from None


def _schema_of(kind: type) -> dict[str, Any]:
    model = pydantic_model()
    if model is not None and isinstance(kind, type) and issubclass(kind, model):
        return dict(kind.model_json_schema())  # type: ignore[attr-defined]
    raise NotImplementedError(f"{kind!r}; use JSON types, dataclasses, structs or models")
