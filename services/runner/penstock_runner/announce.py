"""Telling everybody which functions this runner has, as a worker process found them: we import no user code."""

from collections.abc import Sequence

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec, validate_spec
from penstock.domain.limits import functions_max
from penstock.jetstream.registry import FunctionRegistry

logger = structlog.get_logger("penstock")


async def announce(registry: FunctionRegistry, specs: Sequence[FunctionSpec], runner: str) -> None:
    """Declare each function that is new or differs from what is declared. Raises Rejected or Unavailable."""
    if len(specs) > functions_max:
        raise Rejected("invalid_option", f"The app has {len(specs)} functions; at most {functions_max} are possible.")
    for spec in specs:
        # The worker process checked it already, but what comes from there is not trusted.
        validate_spec(spec)
        known = registry.get(spec.name)
        if known is not None and known != spec:
            logger.info("function_changed", function=spec.name, version=spec.version)
        await registry.declare(spec, runner)
