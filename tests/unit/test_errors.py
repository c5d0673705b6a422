"""The catalogue of errors is complete: no code is raised that it does not explain."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock
from penstock.domain.errors import CATALOGUE, Rejected

LIBRARY = Path(penstock.__file__).parent if penstock.__file__ else Path("libs/penstock")
SOURCES = sorted([*LIBRARY.rglob("*.py"), *(LIBRARY.parents[1] / "services").rglob("*.py")])
MAKERS = {"Rejected", "ErrorInfo"}


def codes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, code) of every `Rejected("...")` and `ErrorInfo(code="...")` written with a literal."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in MAKERS:
            continue
        values = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "code")]
        for value in values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield node.lineno, value.value


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_code_raised_is_in_the_catalogue(source: Path) -> None:
    """A caller can look up each."""
    found = list(codes(ast.parse(source.read_text())))
    missing = [f"{source}:{line} {code}" for line, code in found if code not in CATALOGUE]
    assert not missing


def test_the_search_finds_codes() -> None:
    """It would see one that is missing."""
    tree = ast.parse('raise Rejected("a", "x")\nf.ErrorInfo(code="b")\nerrors.Rejected(code="c")')
    assert [code for _, code in codes(tree)] == ["a", "b", "c"]


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_entry_says_what_to_do(code: str) -> None:
    """With a status, a title and a hint that is a sentence."""
    kind = CATALOGUE[code]
    assert 400 <= kind.status <= 599
    assert kind.title
    assert kind.hint.endswith(".")


def test_the_fixed_codes_are_all_there() -> None:
    """Clients depend on them."""
    fixed = (
        "invalid_json invalid_arguments payload_too_large too_deep invalid_event invalid_name invalid_duration "
        "invalid_option unknown_function unknown_execution unknown_schedule wrong_state idempotency_conflict "
        "unauthorized forbidden "
        "user_error timed_out out_of_memory crashed runner_lost result_not_serialisable discarded"
    )
    assert set(fixed.split()) <= set(CATALOGUE)


def test_a_rejection_carries_what_a_problem_document_needs() -> None:
    """Kind, detail, pointers and further members."""
    rejected = Rejected("wrong_state", "It is over.", pointers=[("/a", "b")], state="failed")
    assert (rejected.kind.status, str(rejected), rejected.pointers, rejected.members) == (
        409, "It is over.", [("/a", "b")], {"state": "failed"},
    )  # fmt: skip
