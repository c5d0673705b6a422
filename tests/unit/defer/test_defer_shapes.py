"""Ids, shapes and errors as Defer's clients see them."""

import pytest

from penstock.defer.attempts import attempts_of
from penstock.defer.errors import error_code, refusal
from penstock.defer.ids import Address, attempt_id, parse_id
from penstock.defer.shapes import attempt_shape, execution_shape, failure_shape, time_text
from penstock.domain.errors import CATALOGUE
from penstock.domain.execution import facts as f
from penstock.domain.execution.evolve import fold
from penstock.domain.execution.state import Execution
from penstock.testing.given import EXECUTION_ID
from unit.histories import BOOM, enqueued, started

SECOND = 1_000_000


def after(*facts: f.AnyFact) -> Execution:
    state = fold(EXECUTION_ID, enumerate(facts, start=1))
    assert state is not None
    return state


def test_an_id_of_an_attempt_leads_back_to_its_execution() -> None:
    """The clients put ids into addresses as they are, so it has no other characters than URLs have."""
    assert attempt_id(EXECUTION_ID, 12) == f"{EXECUTION_ID}-12"
    assert parse_id(f"{EXECUTION_ID}-12") == Address(EXECUTION_ID, 12)
    assert parse_id(EXECUTION_ID) == Address(EXECUTION_ID, None)


@pytest.mark.parametrize(
    "text", ["", "x", f"{EXECUTION_ID}-0", f"{EXECUTION_ID}-01", f"{EXECUTION_ID}-", "0" * 32 + "-1"]
)
def test_what_is_no_id_means_nothing(text: str) -> None:
    """Each thing has exactly one id."""
    assert parse_id(text) is None


def test_times_are_as_javascript_writes_them() -> None:
    """Milliseconds, cut and never rounded up into the future."""
    assert time_text(0) == "1970-01-01T00:00:00.000Z"
    assert time_text(1_700_000_000_123_999) == "2023-11-14T22:13:20.123Z"


def test_the_scheduled_time_outlives_the_start() -> None:
    """It is when the execution should have run, also when it is long over."""
    history = (enqueued(at=SECOND, run_at=60 * SECOND), f.Due(n=2, at=61 * SECOND), started(n=3, at=62 * SECOND))
    shape = execution_shape(after(*history))
    assert (shape.created_at, shape.scheduled_at, shape.updated_at) == tuple(
        f"1970-01-01T00:{text}.000Z" for text in ("00:01", "01:00", "01:02")
    )


def test_the_scheduled_time_follows_a_reschedule() -> None:
    """Forward, and to now."""
    moved = (enqueued(at=SECOND, run_at=60 * SECOND), f.Rescheduled(n=2, at=2 * SECOND, run_at=90 * SECOND))
    assert execution_shape(after(*moved)).scheduled_at == "1970-01-01T00:01:30.000Z"
    assert execution_shape(after(*moved, f.Due(n=3, at=3 * SECOND))).scheduled_at == "1970-01-01T00:00:03.000Z"


def test_an_attempt_looks_like_an_execution() -> None:
    """With its own id, state and times."""
    history = (enqueued(at=SECOND), started(at=2 * SECOND))
    shape = attempt_shape(after(*history), attempts_of(history)[0])
    assert (shape.id, shape.state, shape.function_id) == (f"{EXECUTION_ID}-1", "started", "work")


def test_a_failure_has_exactly_what_json_keeps_of_an_error() -> None:
    """An error without a type is named by its code."""
    assert failure_shape(BOOM).name == "ValueError"
    shape = failure_shape(f.ErrorInfo(code="timed_out", message="Too long."))
    assert (shape.name, shape.message, shape.cause, shape.stack) == ("timed_out", "Too long.", None, "")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("timed_out", "ER0001"), ("out_of_memory", "ER0002"), ("user_error", "ER0003"), ("crashed", "ER0003"),
        ("runner_lost", "ER0000"), ("diverged", "ER0000"),
    ],
)  # fmt: skip
def test_failures_have_the_codes_of_defer(ours: str, theirs: str) -> None:
    """Whatever has no code of its own is an internal error."""
    assert error_code(ours) == theirs


@pytest.mark.parametrize(
    ("code", "status", "word"),
    [
        ("invalid_option", 400, "bad_request"), ("unknown_function", 400, "bad_request"),
        ("unknown_execution", 404, "not_found"), ("wrong_state", 409, "conflict"), ("unavailable", 503, "unavailable"),
        ("internal", 500, "internal_error"), ("too_deep", 413, "payload_too_large"),
    ],
)  # fmt: skip
def test_errors_have_the_status_that_clients_know(code: str, status: int, word: str) -> None:
    """A caller's mistake is 400, whatever we call it elsewhere."""
    found, body = refusal(code, "It is so.", "It is so.")
    assert (found, body["error"], body["message"].startswith("It is so.")) == (status, word, True)


def test_errors_speak_of_what_these_callers_have() -> None:
    """Sentences of Defer stand alone; the key is the token; what has no hint of its own has ours."""
    ours = "It is so. Do this."
    assert refusal("unknown_execution", "It is so.", ours)[1]["message"] == "It is so."
    assert refusal("unauthorized", "It is so.", ours)[1]["message"] == "It is so. Set DEFER_TOKEN to the API key."
    assert refusal("invalid_option", "It is so.", ours)[1]["message"] == ours


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_no_error_leaves_without_a_status_of_an_error(code: str) -> None:
    """Also those that no door has thought of, and never 422, which no client knows."""
    status, body = refusal(code, "It is so.", "It is so. Do this.")
    assert (status >= 400, status != 422, set(body)) == (True, True, {"error", "message"})
