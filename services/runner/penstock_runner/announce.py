"""Telling everybody which functions this runner has, as a worker process found them: we import no user code."""

from collections.abc import Mapping, Sequence

import structlog

from penstock.domain.errors import Rejected
from penstock.domain.function.options import FunctionSpec, validate_spec
from penstock.domain.ids import is_function_name
from penstock.domain.limits import functions_max
from penstock.domain.schedule.facts import SchedulesDeclared
from penstock.domain.schedule.spec import ScheduleSpec, check_spec
from penstock.jetstream.registry import FunctionRegistry
from penstock.jetstream.schedules import ScheduleLog

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


async def announce_schedules(
    schedules: ScheduleLog, app: str, declared: Mapping[str, ScheduleSpec], version: str, runner: str, now: int
) -> None:
    """Tell the whole set that this app declares, also an empty one: schedulers remove what is not in it any more.

    Raises Rejected or Unavailable.
    """
    if not is_function_name(app):
        raise Rejected("invalid_name", f"{app[:80]!r} is no app name.")
    for key, spec in declared.items():
        # The worker process checked it already, but what comes from there is not trusted.
        if spec.app != app or spec.function != key:
            raise Rejected("invalid_option", f"Schedule {key[:80]!r} is none of app {app}.")
        check_spec(spec, now)
    if declared or (await schedules.declared(app))[1] is not None:
        fact = SchedulesDeclared(at=now, app=app, schedules=dict(declared), version=version, runner=runner)
        await schedules.declare(fact)
