"""One way to make an execution, wherever the code runs: through the runner inside a worker process, else over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from penstock.client.execution import Execution
from penstock.domain.errors import Rejected
from penstock.domain.function.options import CallOptions
from penstock.functions.context import current_attempt
from penstock.functions.errors import ResultNotSerialisable
from penstock.functions.parameters import Parameters
from penstock.functions.values import to_json


def arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """JSON of arguments. Raises Rejected `invalid_arguments` for what JSON cannot carry."""
    try:
        return to_json(list(args)), to_json(dict(kwargs))
    except ResultNotSerialisable as error:
        raise Rejected("invalid_arguments", f"An argument is no JSON: {error}") from None


def enqueue(
    function: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: CallOptions,
    parameters: Parameters | None = None,
) -> Execution:
    """A new execution of the named function; `parameters`, where known, are checked first.

    Answers with the handle, or with an awaitable of it outside plain `def` functions. Raises Rejected.
    """
    json_args, json_kwargs = arguments(args, kwargs)
    if parameters is not None:
        parameters.bind(json_args, json_kwargs)
    attempt = current_attempt.get()
    if attempt is not None:
        return cast(Execution, attempt.enqueue(function, json_args, json_kwargs, options))
    # Imported here: an app in a worker process never needs an HTTP client.
    from penstock.client.client import default_client

    return cast(Execution, default_client().send(function, json_args, json_kwargs, options))
