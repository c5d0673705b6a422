"""What exceptions of user code say about retries."""

import pytest

from penstock import RetryAfter, Terminal
from penstock.functions.errors import Diverged
from penstock.functions.failures import Failure, failure_of


@pytest.mark.parametrize(
    ("parts", "code", "terminal", "retry_after"),
    [
        ([Terminal("no use")], "user_error", True, None),
        ([ValueError("x"), RetryAfter("10s")], "user_error", False, 10.0),
        ([ExceptionGroup("inner", [Terminal("no use")])], "user_error", True, None),
        ([Diverged(1, "a", "b")], "diverged", True, None),
        ([ValueError("x")], "user_error", False, None),
    ],
)
def test_a_group_says_of_retries_what_its_parts_say(
    parts: list[BaseException], code: str, terminal: bool, retry_after: float | None
) -> None:
    """As a TaskGroup raises it; its text stays that of the whole."""
    failure = failure_of(BaseExceptionGroup("several", parts))
    assert isinstance(failure, Failure)
    assert (failure.code, failure.terminal, failure.retry_after) == (code, terminal, retry_after)
    assert failure.message.startswith("several")
