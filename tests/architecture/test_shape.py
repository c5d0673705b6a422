"""Sizes, names and documents."""

import ast
import re
from importlib.resources import files

from architecture.rules import BANNED_NAMES, LONG_MODULES, ROOT, sources
from penstock.domain.errors import CATALOGUE
from penstock.service.settings import PREFIX, Settings

SOURCES = sources()
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in SOURCES.items()}
LINES_MAX = 400
SUBJECT = re.compile(r"penstock\.(dev\.)?$|penstock\.dev\.|\$KV\.|\$O\.")


def test_a_module_is_short_enough_to_read_at_once() -> None:
    """Over the limit it is split, or listed with the reason."""
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in SOURCES.items()}
    assert not {module: lines for module, lines in lengths.items() if lines > LINES_MAX and module not in LONG_MODULES}


def test_a_module_says_first_what_it_is_for() -> None:
    """Every module begins with a docstring."""
    assert not [module for module, tree in TREES.items() if not ast.get_docstring(tree)]


def test_a_file_is_named_after_what_it_holds() -> None:
    """Names that say nothing attract everything."""
    assert not [module for module in SOURCES if BANNED_NAMES & set(module.split("."))]


def test_a_subject_is_written_in_one_file_only() -> None:
    """Whoever needs a subject asks wire/names.py; text made of such a root would be a second place."""
    wrong = []
    for module, tree in TREES.items():
        starts = [node.values[0] for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) and node.values]
        texts = [part.value for part in starts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        wrong += [f"{module}: {text}" for text in texts if SUBJECT.match(text) and module != "penstock.wire.names"]
    assert not wrong


def test_a_test_says_its_rule() -> None:
    """The first line of a test is its rule in one sentence."""
    silent = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            if named and not ast.get_docstring(node):
                silent.append(f"{path.name}: {node.name}")
    assert not silent


def test_every_setting_is_explained_and_listed() -> None:
    """`penstock config` prints each with its meaning; the README names each."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [PREFIX + name.upper() for name in Settings.__struct_fields__ if PREFIX + name.upper() not in readme]
    assert not missing


def test_every_error_code_that_is_raised_is_in_the_catalogue() -> None:
    """A code without an entry would have neither status nor hint."""
    unknown = []
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Rejected":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and first.value not in CATALOGUE:
                    unknown.append(f"{module}: {first.value}")
    assert not unknown


def test_the_top_level_holds_nothing_else() -> None:
    """Whoever opens the repository sees the whole plan at once."""
    wanted = {"README.md", "Makefile", "LICENSE", "pyproject.toml", "services", "libs", "tests", "infra"}
    generated = {"build", "dist"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found - generated == wanted


def test_the_example_payloads_are_shipped() -> None:
    """`penstock up penstock.examples.all:app` works from an installed wheel, payloads included."""
    names = {entry.name for entry in files("penstock.examples").joinpath("payloads").iterdir()}
    assert {"github-issues-opened.json", "github-issues-closed.json"} <= names


def test_every_make_target_explains_itself() -> None:
    """`make help` is made from the ## lines, so a target without one would be invisible."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    explained = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert set(phony.group(1).split()) == explained
