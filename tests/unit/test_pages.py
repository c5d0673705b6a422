"""Sessions and the door in front of pages."""

import re

import pytest

from penstock.service.pages import FORM_BYTES_MAX, HEADERS, Door, form_fields, is_page, message_page
from penstock.service.session import COOKIE, SESSION_SECONDS, Sessions, session_of

PAGE = "/executions/" + "a" * 32


def test_a_session_is_open_until_it_runs_out() -> None:
    """And only with the key that it was made from, and only as it was made."""
    clock = [1_000]
    sessions = Sessions("pk_key", lambda: clock[0])
    session = sessions.begin()
    clock[0] = 1_000 + SESSION_SECONDS - 1
    assert sessions.is_open(session)
    assert not Sessions("pk_other", lambda: clock[0]).is_open(session)
    until, _, mark = session.partition(".")
    for forged in ("", "x", f"{int(until) + 1}.{mark}", f"{until}.", f"\u00b2.{mark}", session + "0"):
        assert not sessions.is_open(forged)
    clock[0] += 1
    assert not sessions.is_open(session)


def test_the_mark_of_a_form_belongs_to_one_session() -> None:
    """And is no session itself."""
    sessions = Sessions("pk_key", lambda: 1_000)
    session = sessions.begin()
    mark = sessions.form_mark(session)
    assert sessions.is_form_mark(session, mark)
    assert not sessions.is_form_mark(session + "x", mark)
    assert not sessions.is_form_mark(session, session)
    assert not sessions.is_open(f"{1_000 + SESSION_SECONDS}.{mark}")


def test_the_session_is_found_among_other_cookies() -> None:
    """By its whole name."""
    assert session_of({b"cookie": f"x{COOKIE}=1; {COOKIE}=2; other=3".encode()}) == "2"
    assert session_of({}) == ""


def test_only_pages_may_be_read_with_a_session() -> None:
    """The API takes the key and nothing else."""
    assert is_page(PAGE)
    assert not is_page("/v1/executions")
    assert not is_page("/executions")


def test_the_first_look_without_a_session_comes_back_by_itself() -> None:
    """A strict cookie is kept back on the way from another site; the second look, from here, brings it."""
    door = Door(Sessions("pk_key"), secure=False)
    first = door.refusal(PAGE, b"", "GET", "")
    assert first is not None
    assert f"url={PAGE}?again".encode() in first.body
    second = door.refusal(PAGE, b"again", "GET", "")
    assert second is not None
    assert (second.status, b'type="password"' in second.body) == (401, True)
    posted = door.refusal(PAGE + "/rerun", b"", "POST", "")
    assert posted is not None
    assert posted.status == 401


def test_the_key_opens_a_session_and_leads_back() -> None:
    """The cookie is out of reach for scripts and other sites; over HTTPS it travels on nothing else."""
    sessions = Sessions("pk_key")
    answer = Door(sessions, secure=True).sign_in(f"key=pk_key&next={PAGE}".encode())
    assert (answer.status, answer.headers["Location"]) == (303, PAGE)
    cookie = answer.headers["Set-Cookie"]
    assert re.search(r"; HttpOnly; SameSite=Strict; Secure$", cookie)
    session = cookie.split(";")[0].partition("=")[2]
    assert Door(sessions, secure=True).refusal(PAGE, b"", "GET", session) is None


@pytest.mark.parametrize("where", ["https://evil.example/", "//evil.example", "/v1/executions", "", PAGE + "/../x"])
def test_a_sign_in_leads_nowhere_else(where: str) -> None:
    """However the form was made."""
    answer = Door(Sessions("pk_key"), secure=False).sign_in(f"key=pk_key&next={where}".encode())
    assert answer.status == 400
    assert "Set-Cookie" not in answer.headers


def test_a_wrong_key_is_refused() -> None:
    """With the form again."""
    answer = Door(Sessions("pk_key"), secure=False).sign_in(f"key=nope&next={PAGE}".encode())
    assert (answer.status, "Set-Cookie" in answer.headers) == (401, False)
    assert b"not the API key" in answer.body


def test_what_is_said_on_a_page_is_text() -> None:
    """Never markup; and the policy would not run it."""
    answer = message_page("<b>", "<script>alert(1)</script>", 400, '"><script>')
    assert b"<script>" not in answer.body
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "script" not in HEADERS["Content-Security-Policy"]


def test_what_is_no_form_has_no_fields() -> None:
    """Nor has more than a form of ours ever has."""
    assert form_fields(b"a=1&a=2&b=") == {"a": "2", "b": ""}
    assert form_fields(b"\xff\xfe=1") == {}
    assert form_fields(b"&".join(b"x%d=1" % n for n in range(21))) == {}
    assert form_fields(b"a=" + b"x" * FORM_BYTES_MAX + b"&mark=1") == {"a": "x" * (FORM_BYTES_MAX - 2)}
