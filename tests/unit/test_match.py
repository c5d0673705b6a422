"""Which functions an event starts."""

import pytest

from penstock.domain.function.match import matches, subscribers
from penstock.domain.function.options import FunctionSpec


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("order.paid", "order.paid"), ("order.*", "order.paid"), ("*", "order"), ("*", "order.paid"), ("*.paid", "order.paid"),  # noqa: E501
     ("order.*", "order.paid.twice"), ("a.*.c", "a.b.c"), ("*.*", "a.b.c")],
)  # fmt: skip
def test_a_pattern_fits(pattern: str, name: str) -> None:
    """`*` stands for one token, and at the end for one or more."""
    assert matches(pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("order.paid", "order"), ("order.*", "order"), ("order", "order.paid"), ("*.paid", "paid"), ("a.*.c", "a.b.d"),
     ("a.*.c", "a.b.b.c"), ("Order", "order"), ("*.*", "a"), ("order.pa*", "order.paid")],
)  # fmt: skip
def test_a_pattern_does_not_fit(pattern: str, name: str) -> None:
    """Tokens are compared whole and with their case."""
    assert not matches(pattern, name)


def test_each_subscriber_is_found_once_and_in_order() -> None:
    """Two patterns of one function that both fit start it once."""
    functions = [
        FunctionSpec(name="welcome", on=["user.*", "user.signup"]),
        FunctionSpec(name="audit", on=["*"]),
        FunctionSpec(name="bill", on=["order.paid"]),
        FunctionSpec(name="add"),
    ]
    assert [spec.name for spec in subscribers(functions, "user.signup")] == ["audit", "welcome"]
