"""Flow options as authors write them: what they become, and which do not go together."""

from typing import Any

import pytest

from penstock import App, Limit, RateLimit, Throttle
from penstock.domain.errors import Rejected


def declared(**options: Any) -> Any:
    app = App("shop")

    @app.function(**options)
    def work(number: int) -> None: ...

    return work.spec


def test_options_reach_the_declaration() -> None:
    """What the decorator was given is what the registry holds."""
    spec = declared(
        concurrency=2, concurrency_key="args[0]", limits=[Limit(3, name="api")], throttle=Throttle(5, per="1m"),
        rate_limit=RateLimit(7, per="1h", key="kwargs.user"), at_limit="reject_newest",
    )  # fmt: skip
    assert spec.is_gated
    assert spec.consumer_limit is None
    assert spec.flow.throttle.period == 60.0
    assert (spec.flow.rate_limit.n, spec.flow.rate_limit.key) == (7, "kwargs.user")


def test_plain_concurrency_needs_no_admission() -> None:
    """A function whose only limit is its concurrency stays off the scheduler's path."""
    spec = declared(concurrency=5)
    assert not spec.is_gated
    assert spec.consumer_limit == 5


@pytest.mark.parametrize(
    "options",
    [
        {"fifo": True, "concurrency": 2},
        {"fifo": True, "round_robin": "args[0]"},
        {"fifo": True, "at_limit": "cancel_running"},
        {"concurrency_key": "args[0]"},
        {"at_limit": "reject_newest"},
        {"round_robin": "args[0]"},
        {"concurrency": 1, "at_limit": "explode"},
        {"concurrency": 1, "concurrency_key": "args["},
        {"concurrency": 1, "concurrency_key": ""},
        {"limits": [Limit(0)]},
        {"limits": [Limit(1, name="a b")]},
        {"limits": [Limit(1, name="api"), Limit(2, name="api")]},
        {"limits": [Limit(1)] * 9},
        {"limits": [3]},
        {"throttle": Throttle(-1, per="1m")},
        {"throttle": Throttle(1, per="0s")},
        {"throttle": RateLimit(1, per="1m")},
        {"rate_limit": RateLimit(10**9, per="1m")},
        {"rate_limit": RateLimit(1, per="soon")},
    ],
)
def test_what_cannot_work_is_refused_at_import(options: dict[str, Any]) -> None:
    """An impossible combination or an absurd number is told when the module is imported."""
    with pytest.raises(Rejected) as refusal:
        declared(**options)
    assert refusal.value.code in ("invalid_option", "invalid_name", "invalid_duration")
