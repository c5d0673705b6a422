"""Schedules that code declares: what `@app.cron` and `@app.every` take."""

import time
from collections.abc import Mapping
from typing import Any

from penstock.domain.errors import Rejected
from penstock.domain.schedule.spec import ScheduleRule, ScheduleSpec, make_rule
from penstock.functions.parameters import Parameters

SCHEDULE_OPTIONS = ("timezone", "catch_up", "overlap", "jitter")


def declared_rule(cron: str | None, every: Any, options: Mapping[str, Any], where: str) -> ScheduleRule:
    """The rule, checked when the module is imported. Raises Rejected `invalid_option` naming the function."""
    if cron is not None and not isinstance(cron, str):
        raise Rejected("invalid_option", f"The cron expression of {where} must be text, not {cron!r:.80}.")
    try:
        return make_rule(time.time_ns() // 1000, cron=cron, every=every, **options)
    except Rejected as refusal:
        raise Rejected(refusal.code, f"Schedule of {where}: {refusal.detail}", **refusal.members) from None


def check_parameters(parameters: Parameters, where: str) -> None:
    """Nobody calls a tick with arguments. Raises Rejected `invalid_option`."""
    if parameters.fields:
        names = ", ".join(field.name for field in parameters.fields)
        raise Rejected(
            "invalid_option",
            f"{where} has a schedule and so takes no arguments besides `ctx` and `event`, but declares {names}. "
            "Make a schedule with arguments by PUT /v1/schedules/{key}.",
        )


def schedule_specs(app: str, rules: Mapping[str, ScheduleRule]) -> dict[str, ScheduleSpec]:
    """Schedules by key: a declared one has the name of its function."""
    return {name: ScheduleSpec(function=name, rule=rule, app=app) for name, rule in rules.items()}
