"""Who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from architecture.rules import ENTRY_POINTS, FORBIDDEN_EVERYWHERE, IMPURE, MAY_IMPORT, PURE, row_of, sources

SOURCES = sources()


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            # `from package import module` imports the module, if there is one of that name.
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                yield node.lineno, dotted if dotted in SOURCES else str(node.module)


def top(name: str) -> str:
    return name.split(".")[0]


def is_within(name: str, allowed: str) -> bool:
    # The bare `penstock` is the public face, not a licence for everything below it.
    return name == allowed or (allowed != "penstock" and name.startswith(allowed + "."))


def test_a_module_imports_only_what_its_row_allows() -> None:
    """The table in rules.py is complete: an import that it does not name is a mistake or a decision to write down."""
    wrong = []
    for module, path in SOURCES.items():
        row = row_of(module)
        allowed = MAY_IMPORT[row] + (ENTRY_POINTS if module.endswith("__main__") else ())
        if row in ("penstock.examples", "penstock.bench"):
            allowed += tuple(name for name in SOURCES if name.startswith("penstock."))
        for line, name in imports_of(path):
            standard = top(name) in sys.stdlib_module_names
            if not standard and not any(is_within(name, each) for each in allowed):
                wrong.append(f"{path}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_core_touches_neither_clock_nor_chance_nor_world() -> None:
    """Time and randomness enter the core as arguments; otherwise it could not be replayed."""
    pure = [path for module, path in SOURCES.items() if any(is_within(module, each) for each in PURE)]
    wrong = [f"{path}:{line} imports {name}" for path in pure for line, name in imports_of(path) if top(name) in IMPURE]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_ever_unpickled_or_evaluated() -> None:
    """What comes over the network is JSON; nothing turns data into code."""
    wrong = []
    for path in SOURCES.values():
        wrong += [f"{path}:{line}" for line, name in imports_of(path) if top(name) in FORBIDDEN_EVERYWHERE]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                wrong.append(f"{path}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


def test_the_command_line_starts_without_the_servers_libraries() -> None:
    """`penstock --help` must not pay for litestar or sqlalchemy."""
    code = "import sys, penstock.cli.main; print([m for m in ('litestar', 'sqlalchemy', 'nats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
