"""Flow options as authors write them: what they become, and which do not go together."""

import re
from pathlib import Path
from typing import Any

import pytest

from penstock import App, Batch, Debounce, Limit, RateLimit, Throttle
from penstock.domain.errors import Rejected
from penstock.domain.flow import limits as flow
from penstock.domain.flow.limits import FlowOptions
from penstock.domain.limits import batch_members_max, delay_seconds_max


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


def together(**options: Any) -> FlowOptions:
    """The flow options of a function that takes a list."""
    app = App("shop")

    @app.function(**options)
    def work(numbers: list[int]) -> list[int]: ...

    return work.spec.flow


def test_what_runs_together_reaches_the_declaration() -> None:
    """Durations are seconds there."""
    debounce = together(debounce=Debounce("5s", max_delay="1m", key="args[0]"), concurrency=2).debounce
    assert debounce is not None
    assert (debounce.period, debounce.max_delay, debounce.key) == (5.0, 60.0, "args[0]")
    assert together(singleton="drop", singleton_key="kwargs.user").singleton == "drop"
    batch = together(batch=Batch(batch_members_max, delay_seconds_max, key="args[0]"), fifo=True).batch
    assert batch is not None
    assert (batch.size, batch.wait) == (batch_members_max, delay_seconds_max)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"debounce": Debounce("5s"), "batch": Batch(2, "1s")}, "debounce and batch"),
        ({"debounce": Debounce("5s"), "singleton": "attach"}, "debounce and singleton"),
        ({"batch": Batch(2, "1s"), "singleton": "drop"}, "singleton and batch"),
        ({"singleton_key": "args[0]"}, "needs singleton"),
        ({"singleton": "attach", "concurrency": 1, "at_limit": "reject_newest"}, "at_limit"),
        ({"singleton": "join"}, "attach or drop"),
        ({"singleton": "attach", "singleton_key": "args["}, "CEL"),
        ({"debounce": Debounce("0s")}, "period of debounce"),
        ({"debounce": Debounce("5s", max_delay="4s")}, "shorter than its period"),
        ({"debounce": Debounce(delay_seconds_max + 1)}, "period of debounce"),
        ({"debounce": "5s"}, "must be Debounce"),
        ({"batch": Batch(0, "1s")}, "size of batch"),
        ({"batch": Batch(batch_members_max + 1, "1s")}, "size of batch"),
        ({"batch": Batch(2.5, "1s")}, "whole number"),  # type: ignore[arg-type]
        ({"batch": Batch(2, "0s")}, "wait of batch"),
        ({"batch": Batch(2, delay_seconds_max + 1)}, "wait of batch"),
        ({"batch": Batch(2, "1s", key="args[0]"), "fifo": True, "concurrency_key": "args[1]"}, "same as that of batch"),
        ({"batch": Batch(2, "1s"), "throttle": Throttle(1, "1s", key="args[0]")}, "same as that of batch"),
        ({"batch": Batch(2, "soon")}, "wait"),
    ],
)
def test_what_cannot_run_together_is_refused_at_import(options: dict[str, Any], sentence: str) -> None:
    """The message names the options at fault."""
    with pytest.raises(Rejected, match=sentence) as refusal:
        together(**options)
    assert refusal.value.code in ("invalid_option", "invalid_duration")


def test_the_example_of_the_readme_declares_what_it_says() -> None:
    """It is imported as it stands, and each of its functions runs as the comment says."""
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    [block] = [each for each in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "Debounce(" in each]
    names: dict[str, Any] = {}
    exec(block, names)
    flows = {name: function.spec.flow for name, function in names["app"].functions.items()}
    assert flows["index"].debounce == flow.Debounce(5.0, 60.0, "args[0]")
    assert (flows["report"].singleton, flows["report"].singleton_key) == ("attach", "kwargs.user")
    assert flows["resize"].batch == flow.Batch(100, 2.0, "args[0].folder")
    assert names["resize"]([{"name": "a"}]) == ["A"]


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
