"""Hooks: where they come from, what they are told, and what they cost those who have none."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from penstock import App, Context, Event
from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve import fold
from penstock.domain.execution.hook_start import hook_execution
from penstock.domain.execution.hooks import Hooks
from penstock.domain.execution.state import Execution
from penstock.domain.limits import hook_result_bytes_max
from penstock.testing.given import EXECUTION_ID
from penstock.wire.codec import encode_fact
from unit.histories import BOOM, enqueued, started

GLAD = Hooks(on_success="glad")


def ended(end: f.AnyFact, **fields: Any) -> Execution:
    state = fold(EXECUTION_ID, enumerate([enqueued(**fields), started(), end], start=1))
    assert state is not None
    return state


def succeeded(result: bytes = b"null") -> f.Succeeded:
    return f.Succeeded(n=3, at=9, attempt=1, result=Raw(result))


def told(end: f.Succeeded) -> dict[str, Any]:
    made = hook_execution(ended(end, hooks=GLAD), end, "dev", 10)
    assert made is not None
    assert made[1].event is not None
    data: dict[str, Any] = msgspec.json.decode(made[1].event)["data"]
    return data


def test_only_with_a_hook_a_success_is_an_end_that_somebody_acts_on() -> None:
    """So a plain execution stays at three writes, and nobody is told of its end."""
    end = succeeded()
    assert not f.is_end(end, ended(end).is_awaited)
    assert not f.is_end(end, ended(end, hooks=Hooks(on_failure="hurt", on_cancel="calm")).is_awaited)
    assert f.is_end(end, ended(end, hooks=GLAD).is_awaited)
    assert b"hooks" not in encode_fact(enqueued())


def test_an_outcome_without_a_hook_starts_nothing() -> None:
    """Each outcome has its own."""
    end = f.Failed(n=3, at=9, attempt=1, error=BOOM)
    assert hook_execution(ended(end, hooks=GLAD), end, "dev", 10) is None


def test_a_hook_runs_in_the_trace_of_the_ended_execution() -> None:
    """Whoever looks at the trace sees what followed."""
    end = succeeded()
    state = ended(end, hooks=GLAD)
    made = hook_execution(state, end, "dev", 10)
    assert made is not None
    assert made == hook_execution(state, end, "dev", 10)
    assert (made[1].trace_id, made[1].function) == (state.trace_id, "glad")


def test_a_small_result_travels_and_a_larger_one_is_read_by_its_path() -> None:
    """The limit itself still travels."""
    fits, too_large = (b'"%s"' % (b"x" * (hook_result_bytes_max - 2 + more)) for more in (0, 1))
    assert "result" in told(succeeded(fits))
    data = told(succeeded(too_large))
    assert "result" not in data
    assert data["result_path"] == f"/v1/executions/{EXECUTION_ID}/result"


def test_the_hook_of_a_function_goes_before_that_of_its_app() -> None:
    """And the app's holds for functions declared before and after it, but not for included ones."""
    app, other = App("shop"), App("other")

    @other.function
    def elsewhere() -> None: ...

    app.include(other)

    @app.function
    def before() -> None: ...

    @app.function
    def own(event: Event) -> None: ...

    @app.on_failure(retries=3)
    async def tell(event: Event, ctx: Context) -> None: ...

    @app.function(on_failure=own, on_success="far-away")
    def after() -> None: ...

    app.on_cancel(own)
    assert before.spec.hooks == Hooks(on_failure="tell", on_cancel="own")
    assert after.spec.hooks == Hooks(on_failure="own", on_success="far-away", on_cancel="own")
    assert (elsewhere.spec.hooks, tell.spec.policy.retries) == (Hooks(), 3)


def _needs(order: int) -> None: ...


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda app: app.on_failure(_needs), "also needs order"),
        (lambda app: [app.on_cancel(lambda: None, name=name) for name in "ab"], "has an on_cancel hook already"),
        (lambda app: app.function(on_success=_needs)(lambda: None), "Put @app.function above it"),
        (lambda app: app.function(on_success="no name")(lambda: None), "must name a function"),
        (lambda app: app.on_failure(app.function(name="x")(lambda: None), retries=1), "declared already"),
    ],
)
def test_a_wrong_hook_is_refused_at_once(declare: Any, sentence: str) -> None:
    """A mistake is seen when the module is imported, and the message says what to do."""
    with pytest.raises(Rejected, match=sentence):
        declare(App("shop"))


def test_the_example_of_the_readme_declares_what_it_says() -> None:
    """Its text is what runs here."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    example = readme[readme.index("@app.on_failure(retries=3)") :].partition("```")[0]
    app = App("shop")
    exec(compile(example, "README.md", "exec"), {"app": app, "Event": Event})
    assert app.functions["charge"].spec.hooks == Hooks(on_failure="tell", on_success="archive")
    assert app.functions["tell"].spec.policy.retries == 3
