"""What commands print, seen on terminals of different widths."""

import pytest
from rich.console import Console

from penstock.cli import executions, output

FAILED = {
    "id": "01a200ee6dc37507a6cc25f16345f31a",
    "function": "contact_sheet",
    "state": "failed",
    "attempt": 3,
    "created_at": "2027-01-31T08:00:00.000000Z",
    "started_at": "2027-01-31T08:00:01.000000Z",
    "finished_at": "2027-01-31T08:00:01.540000Z",
    "error": {"code": "user_error", "type": "ValueError", "message": "no \x1b[31mred", "stack": ""},
}


def _listed(monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    console = Console(width=width, highlight=False)
    monkeypatch.setattr(output, "console", console)
    monkeypatch.setattr(executions, "console", console)
    with console.capture() as capture:
        executions.print_executions({"data": [FAILED], "next": None})
    return capture.get().splitlines()


def test_a_list_of_executions_is_readable_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Id, function, state and time stand in one line each, the code of the error below the state."""
    header, first, second = _listed(monkeypatch, 80)
    assert header.split() == ["id", "function", "state", "created"]
    assert first.split() == [FAILED["id"], "contact_sheet", "failed", "01-31", "08:00:00Z"]
    assert second.split() == ["user_error"]


def test_a_wide_list_of_executions_tells_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room there are attempt, duration and message too."""
    _, first = _listed(monkeypatch, 140)
    assert first.split()[-4:] == ["540ms", "user_error:", "no", "\\x1b[31mred"]


def test_control_characters_of_user_code_never_reach_the_terminal() -> None:
    """They are spelled out; line breaks and tabs stay."""
    assert output.visible("a\x1b[2J\x00\x9b\n\tb\r") == "a\\x1b[2J\\x00\\x9b\n\tb\\x0d"
