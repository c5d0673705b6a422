"""What answers over HTTP and exits of commands mean for an attempt."""

import pytest

from penstock.domain.limits import delay_seconds_max, foreign_result_bytes_max
from penstock.egress.sender import Answer
from penstock_runner.places import exits
from penstock_runner.places.answers import ending_of, retry_after
from penstock_runner.places.result import judged, storable
from penstock_runner.workers.assignment import Killed
from penstock_runner.workers.messages import Raised, Returned

URL = "https://example.com/resize?key=s3cret"
NOW = 1_700_000_000.0


def ended(status: int, body: bytes | None = b"", **headers: str) -> Returned | Raised:
    return ending_of(1, URL, Answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, body), NOW)


@pytest.mark.parametrize(("status", "body"), [(200, b'{"a": 1}'), (201, b"[1]"), (204, b""), (299, b" 1\n")])
def test_a_2xx_answer_is_the_result(status: int, body: bytes) -> None:
    """Its JSON, or null when there is none."""
    assert ended(status, body) == Returned(1, body.strip() or b"null")


@pytest.mark.parametrize("body", [b"<html>", b"{", b"NaN", b"\xff", b"[" * 70 + b"]" * 70, b"1" * 30, None])
def test_a_result_that_cannot_be_stored_fails_for_good(body: bytes | None) -> None:
    """No JSON, too deep, beyond 64 bits, or too large: none of it gets better by trying again."""
    ending = ended(200, body)
    assert isinstance(ending, Raised)
    assert (ending.code, ending.terminal) == ("result_not_serialisable", True)
    assert ending.message.startswith("The answer of https://example.com/resize is")


def test_an_encoding_that_nobody_asked_for_is_refused() -> None:
    """A small answer might be a very large one."""
    ending = ended(200, b"{}", content_encoding="gzip")
    assert isinstance(ending, Raised)
    assert (ending.code, ending.terminal) == ("result_not_serialisable", True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422, 499])
def test_a_client_error_fails_for_good(status: int) -> None:
    """The same request would be refused again."""
    ending = ended(status, b"", retry_after="5")
    assert isinstance(ending, Raised)
    assert (ending.code, ending.terminal, ending.retry_after) == ("user_error", True, None)


@pytest.mark.parametrize("status", [301, 307, 408, 409, 429, 500, 502, 503, 504, 599])
def test_everything_else_is_worth_another_try(status: int) -> None:
    """At the time that the answer names, if it names one."""
    ending = ended(status, b"", retry_after="7")
    assert isinstance(ending, Raised)
    assert (ending.code, ending.terminal, ending.retry_after) == ("user_error", False, 7.0)


@pytest.mark.parametrize(
    ("body", "kind", "text", "stack"),
    [
        (b'{"type": "TooWide", "message": "wide", "stack": "at x.js:1"}', "TooWide", "wide", "at x.js:1"),
        (b'{"error": {"type": "E", "message": "m"}}', "E", "m", ""),
        (b'{"type": "about:blank", "title": "t", "detail": "d"}', "HTTP 422", "d", ""),
        (b'{"error": "broken"}', "HTTP 422", "broken", ""),
        (b"plain words\n", "HTTP 422", "plain words", ""),
        (b"[1]", "HTTP 422", "[1]", ""),
    ],
)
def test_an_error_is_told_as_the_other_side_tells_it(body: bytes, kind: str, text: str, stack: str) -> None:
    """An error object, a problem document, or text."""
    ending = ended(422, body)
    assert isinstance(ending, Raised)
    message = f"https://example.com/resize answered 422 Unprocessable Entity: {text}"
    assert (ending.type, ending.message, ending.stack) == (kind, message, stack)


def test_a_redirect_is_explained() -> None:
    """It is not followed, and the sentence says what to do; the query of the URL is not shown."""
    ending = ended(308)
    assert isinstance(ending, Raised)
    assert "Redirects are not followed" in ending.message
    assert "s3cret" not in ending.message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("9" * 400, float(delay_seconds_max)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", float(delay_seconds_max)),
        ("", None),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """What is neither is as if it were not there."""
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("code", "terminal"), [(1, False), (2, False), (75, False), (64, True), (65, True), (78, True)]
)
def test_exit_codes_follow_sysexits(code: int, terminal: bool) -> None:
    """Usage and data errors are final, everything else may pass; the last line of stderr is the message."""
    ending = exits.ending_of(1, code, b"", b"loading\nno such size: 0\n")
    assert isinstance(ending, Raised)
    assert (ending.code, ending.terminal) == ("user_error", terminal)
    assert ending.message == f"The command ended with exit code {code}: no such size: 0"
    assert ending.stack == "loading\nno such size: 0"


def test_an_exit_of_0_succeeds_with_what_was_written_to_descriptor_3() -> None:
    """Nothing written is null; what is no JSON is an error of its own."""
    assert exits.ending_of(1, 0, b'{"a":1}\n', b"") == Returned(1, b'{"a":1}')
    assert exits.ending_of(1, 0, b"", b"warning") == Returned(1)
    broken = exits.ending_of(1, 0, b"done", b"")
    assert isinstance(broken, Raised)
    assert (broken.code, broken.terminal) == ("result_not_serialisable", True)


@pytest.mark.parametrize(("code", "name"), [(-11, "SIGSEGV"), (-9, "SIGKILL"), (-99, "99")])
def test_a_death_by_signal_is_a_crash(code: int, name: str) -> None:
    """It is counted as such, and says which signal."""
    ending = exits.ending_of(1, code, b'"half', b"")
    assert isinstance(ending, Killed)
    assert ending.code == "crashed"
    assert name in ending.message


def test_a_result_at_the_limit_is_stored() -> None:
    """One that is larger is reported as None by whoever reads it."""
    data = b'"' + b"x" * (foreign_result_bytes_max - 2) + b'"'
    assert judged(1, data, "It") == Returned(1, data)
    assert isinstance(judged(1, None, "It"), Raised)


@pytest.mark.parametrize("result", [b'"\\ud83d"', b"{", b'1,"other":2}', b"[" * 2000 + b"]" * 2000])
def test_a_result_that_would_spoil_its_fact_is_a_failure(result: bytes) -> None:
    """Whichever host sent it: in the log nobody could read the end of the execution."""
    ending = storable(Returned(1, result))
    assert isinstance(ending, Raised)
    assert (ending.code, ending.terminal) == ("result_not_serialisable", True)
    kept = Returned(1, b'{"a":"\\ud83d\\ude00"}')
    assert storable(kept) is kept
