"""Schedules declared in code: what is taken, and what is refused when the module is imported."""

from datetime import timedelta
from typing import Any

import pytest

from penstock import App, Context, Event
from penstock.domain.errors import Rejected


def declare(function: Any, *expression: Any, **options: Any) -> App:
    app = App("shop")
    app.cron(*expression, **options)(function)
    return app


def nothing() -> None: ...


def with_context(ctx: Context, event: Event) -> None: ...


def with_argument(user: str) -> None: ...


def with_default(user: str = "ada") -> None: ...


def test_a_cron_function_is_declared_with_its_rule() -> None:
    """Under the name of the function, for the app that is served."""
    app = declare(nothing, "0 8 * * MON", timezone="Europe/Paris", overlap="skip", retries=2)
    spec = app.schedules()["nothing"]
    assert (spec.function, spec.app) == ("nothing", "shop")
    assert (spec.rule.cron, spec.rule.timezone) == ("0 8 * * MON", "Europe/Paris")
    assert app.functions["nothing"].spec.policy.retries == 2
    other = App("all")
    other.include(app)
    assert other.schedules()["nothing"].app == "all"


def test_an_interval_can_be_written_in_three_ways() -> None:
    """They mean the same."""
    app = App("shop")
    app.every("10m")(nothing)
    rules = {
        each.schedules()["nothing"].rule.every
        for each in (app, declare(nothing, every="10m"), declare(nothing, every=timedelta(minutes=10)))
    }
    assert rules == {600_000_000}


def test_it_may_ask_for_context_and_event() -> None:
    """These are filled in."""
    assert "with_context" in declare(with_context, "@daily").schedules()


def test_a_plain_function_has_no_schedule() -> None:
    """Nothing is declared for it."""
    app = App("shop")
    app.function(nothing)
    assert app.schedules() == {}


@pytest.mark.parametrize("function", [with_argument, with_default])
def test_arguments_are_refused(function: Any) -> None:
    """Nobody gives them; the sentence says which and what to do."""
    with pytest.raises(Rejected, match="user"):
        declare(function, "@daily")


@pytest.mark.parametrize(
    ("expression", "options"),
    [
        (("61 * * * *",), {}),
        ((), {}),
        (("@daily",), {"every": "1h"}),
        (("@daily",), {"timezone": "Nowhere"}),
        (("@daily",), {"overlap": "never"}),
        (("@daily",), {"colour": "red"}),
        ((5,), {}),
    ],
)
def test_mistakes_are_seen_when_the_module_is_imported(expression: tuple[Any, ...], options: dict[str, Any]) -> None:
    """With a code of the catalogue."""
    with pytest.raises(Rejected) as refusal:
        declare(nothing, *expression, **options)
    assert refusal.value.code == "invalid_option"
