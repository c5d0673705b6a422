"""An execution has a bounded number of operations, and the bound is exact."""

import pytest
from immutables import Map
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.state import Execution, Op
from penstock.domain.limits import steps_per_execution_max, waits_open_max, waits_opened_bytes_max
from penstock.testing.given import Given, given
from unit.durable_histories import RUNNING

STEP = c.CompleteStep(activation=1, step="next", started_at=0, result=Raw(b"1"))
COMMANDS: list[c.AnyCommand] = [
    STEP,
    c.BeginStep(activation=1, step="next"),
    c.OpenWaits(activation=1, waits=[f.Wait(key="next", wait="sleep", until=9)]),
    c.CallChildren(activation=1, call="next", children=[f.Child(id="1" * 32, function="add")]),
]


def with_operations(count: int) -> Execution:
    state = given(*RUNNING).state
    assert state is not None
    done = Op(kind="step", n=1, at=1, done=True)
    return replace(state, ops=Map({f"step#{number}": done for number in range(count)}))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_the_last_operation_is_taken_and_the_next_refused(command: c.AnyCommand) -> None:
    """Steps, waits and calls count alike."""
    assert len(Given(with_operations(steps_per_execution_max - 1)).when(command).answer) == 1  # type: ignore[arg-type]
    Given(with_operations(steps_per_execution_max)).when(command).rejected("invalid_option")


def test_undoing_is_never_refused() -> None:
    """What was done can always be taken back."""
    error = f.ErrorInfo(code="user_error")
    state = replace(
        with_operations(steps_per_execution_max),
        compensating=f.Compensating(n=2, at=1, outcome="failed", error=error),
    )
    assert isinstance(Given(state).when(STEP).answer, list)


@pytest.mark.parametrize("count", [waits_open_max, waits_open_max + 1])
def test_open_waits_are_bounded(count: int) -> None:
    """The limit is exact, and those that are open already count."""
    first, *others = [f.Wait(key=f"w#{number}", wait="token") for number in range(count)]
    before = given(*RUNNING, f.WaitOpened(n=3, at=1, waits=[first]))
    outcome = before.when(c.OpenWaits(activation=1, waits=others))
    if count > waits_open_max:
        outcome.rejected("invalid_option")
    else:
        outcome.then(f.WaitOpened(n=4, at=0, waits=others))


def test_waits_that_would_not_fit_in_a_fact_are_refused() -> None:
    """A match may be long, but not all of them together."""
    match = {"name": Raw(b'"' + b"x" * (waits_opened_bytes_max // 2) + b'"')}
    one, two = (f.Wait(key=key, wait="event", name="e", match=match) for key in ("one", "two"))
    assert given(*RUNNING).when(c.OpenWaits(activation=1, waits=[one])).answer
    given(*RUNNING).when(c.OpenWaits(activation=1, waits=[one, two])).rejected("invalid_option")
