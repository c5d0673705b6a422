"""Every limit is used and explained."""

import ast
from pathlib import Path

import pytest

from penstock.domain import limits

LIBRARY = Path(limits.__file__).parents[1]
SOURCES = [*LIBRARY.rglob("*.py"), *(LIBRARY.parents[1] / "services").rglob("*.py")]
LIMITS = sorted(name for name in vars(limits) if name.endswith(("_max", "_min", "_default")))


def names_in(path: Path) -> set[str]:
    """Names and attributes that a module reads."""
    tree = ast.parse(path.read_text())
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


@pytest.fixture(scope="module")
def used() -> set[str]:
    return set().union(*(names_in(path) for path in SOURCES if path.name != "limits.py"))


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_is_used(limit: str, used: set[str]) -> None:
    """A bound that nothing holds is a promise that nobody keeps."""
    assert limit in used


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_is_a_positive_whole_number(limit: str) -> None:
    """Its unit stands in its name."""
    assert isinstance(getattr(limits, limit), int)
    assert getattr(limits, limit) > 0


def test_limits_fit_into_each_other() -> None:
    """What is accepted can be stored."""
    assert limits.payload_inline_bytes_max < limits.event_bytes_max < limits.arguments_bytes_max
    assert limits.arguments_bytes_max <= limits.request_bytes_max
    assert limits.atomic_batch_messages_max <= 1000
    assert limits.functions_max < 1000
