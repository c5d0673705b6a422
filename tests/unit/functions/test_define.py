"""Declaring functions: what is taken, what is refused at once, and that they stay plain callables."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock import App, Context, Event, Fixed, Linear, Quartic, Retry
from penstock.domain.errors import Rejected
from penstock.domain.execution.retries import RetryPolicy
from penstock.functions.options import call_options, memory_bytes


def refusal(declare: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        declare()
    return caught.value


async def test_a_function_is_still_a_plain_function() -> None:
    """Called directly it runs here and now."""
    app = App("shop")

    @app.function
    async def add(a: int, b: int) -> int:
        """Add two numbers.

        At length.
        """
        return a + b

    assert await add(1, 2) == 3
    assert (add.spec.name, add.spec.is_async, add.spec.description) == ("add", True, "Add two numbers.")
    assert add.__name__ == "add"


def test_options_become_the_spec() -> None:
    """Durations are seconds and sizes are bytes there."""
    app = App("shop", retries=3, version="7")
    backoff = Retry(initial="1s", factor=3.0, cap="10m", jitter=0.5)

    @app.function(backoff=backoff, timeout="15m", memory="512MB", concurrency=10, on="user.*", when="event.data.a == 1")
    def work() -> None: ...

    spec = work.spec
    assert spec.policy == RetryPolicy(retries=3, shape="exponential", initial=1, factor=3, cap=600, jitter=0.5)
    assert (spec.timeout, spec.memory, spec.concurrency) == (900.0, 512_000_000, 10)
    assert (spec.on, spec.when, spec.version, spec.is_async) == (["user.*"], "event.data.a == 1", "7", False)


@pytest.mark.parametrize(
    ("backoff", "shape", "initial", "cap"),
    [
        (None, "quartic", 1.0, 3600.0),
        (Quartic(), "quartic", 1.0, 3600.0),
        (Linear("2s"), "linear", 2.0, 3600.0),
        (Fixed("3s"), "fixed", 3.0, 3.0),
    ],
)
def test_each_backoff_has_its_shape(backoff: Any, shape: str, initial: float, cap: float) -> None:
    """Without one it is the default schedule."""
    policy = App("shop").function(backoff=backoff)(lambda_named()).spec.policy
    assert (policy.shape, policy.initial, policy.cap) == (shape, initial, cap)


def lambda_named() -> Any:
    def work() -> None: ...

    return work


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"retrys": 1}, "invalid_option", "Did you mean retries"),
        ({"retries": "3"}, "invalid_option", "retries of work must be int"),
        ({"retries": -1}, "invalid_option", "retries of work must be 0 to"),
        ({"memory": "lots"}, "invalid_option", "512MB"),
        ({"timeout": "soon"}, "invalid_duration", "timeout is no duration"),
        ({"name": "a b"}, "invalid_name", "'a b'"),
        ({"on": "user..x"}, "invalid_name", "user..x"),
        ({"on": "a", "when": "a =="}, "invalid_option", "no CEL expression"),
        ({"on": "a", "when": "data.total > 1.0"}, "invalid_option", "there is no 'data'"),
        ({"concurrency": 1, "concurrency_key": "user"}, "invalid_option", "there is no 'user'"),
        ({"when": "true"}, "invalid_option", "needs `on`"),
        ({"backoff": "1s"}, "invalid_option", "Retry or Linear or Fixed or Quartic"),
        ({"concurrency": 0}, "invalid_option", "concurrency of work"),
    ],
)
def test_a_mistake_is_refused_when_it_is_declared(options: dict[str, Any], code: str, says: str) -> None:
    """With what to do about it."""
    error = refusal(lambda: App("shop").function(**options)(lambda_named()))
    assert error.code == code
    assert says in error.detail


def test_two_functions_of_one_name_are_refused() -> None:
    """The second would silently take the place of the first."""
    app = App("shop")
    app.function(lambda_named())
    assert "already" in refusal(lambda: app.function(lambda_named())).detail


def test_context_and_event_are_no_parameters_of_callers() -> None:
    """By annotation or by name."""

    def by_hint(a: int, c: Context, e: Event | None = None, *, b: str = "x") -> None: ...
    def by_name(ctx, a: int, event, b: str = "x"): ...  # type: ignore[no-untyped-def]

    app = App("shop")
    for function, positional in ((by_hint, ["a"]), (by_name, ["a", "b"])):
        spec = app.function(function).spec
        assert spec.positional == positional
        assert spec.parameters["required"] == ["a"]
        assert list(spec.parameters["properties"]) == ["a", "b"]  # type: ignore[call-overload]


def test_a_parameter_called_event_of_another_type_is_the_callers() -> None:
    """As in functions that were written for Netlify."""

    def handler(event: dict[str, Any]) -> None: ...

    assert App("shop").function(handler).spec.positional == ["event"]


def test_events_start_only_what_needs_no_arguments() -> None:
    """It would fail at each of them."""

    def greet(name: str, event: Event) -> None: ...
    def count(event: dict[str, Any]) -> None: ...

    for function in (greet, count):
        assert "it needs" in refusal(lambda: App("shop").function(on="user.signup")(function)).detail  # noqa: B023


def test_options_of_a_call_take_python_durations_and_instants() -> None:
    """They are sent as text and numbers."""
    options = call_options({"delay": timedelta(minutes=10)})
    assert options.delay == 600.0
    assert call_options({"at": datetime(2027, 1, 1, tzinfo=UTC)}).at == "2027-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "options", [{"dely": "1s"}, {"metadata": {"a": 1}}, {"priority": "high"}, {"at": datetime(2027, 1, 1)}]
)
def test_wrong_options_of_a_call_are_refused(options: dict[str, Any]) -> None:
    """Before anything is sent."""
    assert refusal(lambda: call_options(options)).code == "invalid_option"


@pytest.mark.parametrize(("text", "size"), [("512MB", 512_000_000), ("1GiB", 2**30), ("1.5 KB", 1500), (100, 100)])
def test_sizes_of_memory(text: Any, size: int) -> None:
    """Decimal and binary units."""
    assert memory_bytes(text) == size


def test_importing_penstock_loads_no_server() -> None:
    """A worker process must start fast and hold no client of anything."""
    code = (
        "import penstock, sys; heavy = {'litestar', 'sqlalchemy', 'nats', 'httpx2', 'cel', 'pydantic'};"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
