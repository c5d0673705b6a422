"""Lines carry the ids of what the work is about, also where nobody passes them on."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from penstock.service.concern import concern_fields, concerning, concerning_request, request_id, without_concern
from penstock.service.logs import configure_logs
from penstock.service.settings import load_settings

ONE, TWO, TRACE = "1" * 32, "2" * 32, "a" * 32
logger = structlog.get_logger("penstock")


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Iterator["Lines"]:
    """What was written, as JSON."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield Lines(capfd)
    without_concern()
    root.handlers[:], level = before
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


class Lines:
    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def begin(self) -> None:
        """From inside the test: its stderr is not that of its fixtures."""
        configure_logs(load_settings({"PENSTOCK_LOG_FORMAT": "json", "PENSTOCK_LOG_LEVEL": "info"}))

    def read(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._capfd.readouterr().err.splitlines()]


def test_a_line_carries_what_was_noted_and_learned_since(lines: Lines) -> None:
    """Also a line of a library, through the standard library's logging."""
    lines.begin()
    concern = concerning(ONE, "add")
    concern.trace_id, concern.attempt = TRACE, 2
    structlog.get_logger("penstock").info("here")
    logging.getLogger("library").warning("there")
    for line in lines.read():
        assert (line["execution"], line["function"], line["trace_id"], line["attempt"]) == (ONE, "add", TRACE, 2)


def test_a_line_that_names_another_execution_gets_nothing_of_this_one(lines: Lines) -> None:
    """A wrong id is worse than none."""
    lines.begin()
    concerning(ONE, trace_id=TRACE)
    structlog.get_logger("penstock").info("here", execution=TWO)
    (line,) = lines.read()
    assert line["execution"] == TWO
    assert "trace_id" not in line


async def test_tasks_side_by_side_do_not_see_each_other() -> None:
    """Each works on its own."""

    async def work(execution: str) -> str:
        concerning(execution)
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
        return str(concern_fields()["execution"])

    assert await asyncio.gather(work(ONE), work(TWO)) == [ONE, TWO]
    assert concern_fields() == {}


def test_a_request_shows_the_execution_of_its_address_and_the_callers_trace() -> None:
    """The rest of an address may be a right, as with tokens, and is not shown."""
    parent = f"00-{TRACE}-{'b' * 16}-01".encode()
    concerning_request("POST", f"/v1/executions/{ONE}/cancel", {b"traceparent": parent})
    assert concern_fields() == {"request_id": request_id(), "method": "POST", "execution": ONE, "trace_id": TRACE}
    concerning_request("POST", "/v1/tokens/very-secret/complete", {b"traceparent": b"nonsense"})
    assert "very-secret" not in str(concern_fields())
    without_concern()


def test_secrets_inside_values_are_hidden(lines: Lines) -> None:
    """Lists, tables and errors are looked into."""
    lines.begin()
    error = ValueError("whsec_c2VjcmV0c2VjcmV0 is wrong")
    structlog.get_logger("penstock").warning(
        "here",
        found=[{"token": "t0ps"}, "xoxb-1234567890"],
        url="https://hooks.slack.com/services/T1/B2/x3",
        error=error,
    )
    written = json.dumps(lines.read())
    for secret in ("t0ps", "xoxb-", "T1/B2", "whsec_"):
        assert secret not in written
