"""An execution has a bounded number of operations, and the bound is exact."""

import pytest
from immutables import Map
from msgspec import Raw
from msgspec.structs import replace

from penstock.domain.execution import commands as c
from penstock.domain.execution import facts as f
from penstock.domain.execution.state import Execution, Op
from penstock.domain.limits import steps_per_execution_max
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
