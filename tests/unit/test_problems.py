"""Errors as problem documents: complete, stable, and without anything of the inside."""

import msgspec
import pytest

from penstock.domain.errors import CATALOGUE, Rejected
from penstock.ports import Unavailable
from penstock.service.problems import problem_answer


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_makes_a_complete_document(code: str) -> None:
    """All members of RFC 9457, the code, and further members beside them."""
    answer = problem_answer(Rejected(code, "What happened.", pointers=[("/a", "wrong")], near=["b"], status="mine"))
    body = msgspec.json.decode(answer.body)
    kind = CATALOGUE[code]
    assert answer.media_type == "application/problem+json"
    assert (answer.status, body["status"], body["title"]) == (kind.status, kind.status, kind.title)
    assert body["type"] == f"urn:penstock:problem:{code}"
    assert body["detail"].startswith("What happened.")
    assert body["errors"] == [{"pointer": "/a", "detail": "wrong"}]
    assert (body["code"], body["near"]) == (code, ["b"])


def test_an_unforeseen_error_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The caller gets `internal`; the log gets the traceback."""
    answer = problem_answer(RuntimeError("password=hunter2"))
    assert answer.status == 500
    assert b"hunter2" not in answer.body
    assert b"RuntimeError" not in answer.body


def test_unavailable_says_when_to_try_again() -> None:
    """503 with Retry-After, and no word about our servers."""
    answer = problem_answer(Unavailable("nats://10.0.0.1 refused"))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert b"10.0.0.1" not in answer.body
