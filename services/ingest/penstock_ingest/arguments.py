"""Arguments against the parameters that a function declared, so that a caller hears of mistakes at once."""

from typing import Any, NamedTuple

import jsonschema_rs
import structlog

from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec
from penstock.wire.json import escape

logger = structlog.get_logger("penstock")

PROBLEMS_MAX = 20
REST_ARGS = "x-rest-args"
"""Member of a parameters schema that says: further positional arguments are welcome."""


class _Compiled(NamedTuple):
    spec: FunctionSpec
    validator: Any


class ArgumentCheck:
    """Compiled parameter schemas, one per function, made anew when a function is declared anew."""

    def __init__(self) -> None:
        self._compiled: dict[str, _Compiled] = {}

    def check(self, spec: FunctionSpec, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Raises Rejected `invalid_arguments` naming the fields. A function that declares nothing takes all."""
        if not spec.parameters:
            return
        found = self._compiled.get(spec.name)
        if found is None or found.spec is not spec:
            found = self._compiled[spec.name] = _Compiled(spec, _compile(spec))
        if found.validator is None:
            return
        values = dict(zip(spec.positional, args, strict=False))
        surplus = len(args) > len(spec.positional) and not spec.parameters.get(REST_ARGS)
        if surplus or not values.keys().isdisjoint(kwargs):
            raise _rejected(spec, _misplaced(spec, args, kwargs, values))
        values.update(kwargs)
        if not found.validator.is_valid(values):
            places = {name: f"/args/{index}" for index, name in enumerate(spec.positional[: len(args)])}
            raise _rejected(spec, _wrong(found.validator, values, places))


def _compile(spec: FunctionSpec) -> Any:
    try:
        return jsonschema_rs.validator_for(spec.parameters, offline=True)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        # The runner checks again, by the types themselves.
        logger.warning("parameters_schema_unusable", function=spec.name, error=str(error)[:500])
        return None


def _misplaced(
    spec: FunctionSpec, args: list[Any], kwargs: dict[str, Any], values: dict[str, Any]
) -> list[tuple[str, str]]:
    takes = len(spec.positional)
    surplus = [(f"/args/{index}", f"takes {takes} by position") for index in range(takes, len(args))]
    if spec.parameters.get(REST_ARGS):
        surplus = []
    return surplus + [
        (f"/kwargs/{escape(name)}", "given twice, by position and by name") for name in kwargs if name in values
    ]


def _wrong(validator: Any, values: dict[str, Any], places: dict[str, str]) -> list[tuple[str, str]]:
    wrong: list[tuple[str, str]] = []
    for error in validator.iter_errors(values):
        if len(wrong) >= PROBLEMS_MAX:
            break
        path = [str(token) for token in error.instance_path]
        kind = error.kind
        if not path and kind.name == "required":
            wrong.append((_pointer([kind.property], places), "missing argument"))
        elif not path and kind.name == "additionalProperties":
            wrong.extend((_pointer([name], places), "unexpected argument") for name in kind.unexpected)
        else:
            wrong.append((_pointer(path, places), str(error.message)[:300]))
    return wrong


def _pointer(path: list[str], places: dict[str, str]) -> str:
    if not path:
        return "/kwargs"
    first = places.get(path[0], f"/kwargs/{escape(path[0])}")
    return "".join([first, *(f"/{escape(token)}" for token in path[1:])])


def _rejected(spec: FunctionSpec, wrong: list[tuple[str, str]]) -> Rejected:
    what = "; ".join(f"{pointer}: {detail}" for pointer, detail in wrong[:5])
    return Rejected("invalid_arguments", f"{spec.name} does not take these arguments: {what}.", pointers=wrong)
