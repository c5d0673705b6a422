"""Sessions of people at a browser: a cookie that was made from the API key, and the mark that each form carries.

Nothing is stored: whoever has the key can check both, so that every copy of every service does.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping

COOKIE = "penstock_session"
SESSION_SECONDS = 12 * 3600


def seconds_now() -> int:
    return int(time.time())


class Sessions:
    """Makes and checks both. A new API key ends all sessions."""

    def __init__(self, api_key: str, now: Callable[[], int] = seconds_now) -> None:
        self._key = api_key.encode()
        self._now = now

    def is_key(self, given: str) -> bool:
        """Whether this is the API key."""
        return hmac.compare_digest(given.encode(), self._key)

    def begin(self) -> str:
        """A new session, to be kept in the cookie."""
        until = str(self._now() + SESSION_SECONDS)
        return f"{until}.{self._mark('session', until)}"

    def is_open(self, session: str) -> bool:
        """Whether it is one of ours and has not run out."""
        until, _, mark = session.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) <= 12):
            return False
        return hmac.compare_digest(mark.encode(), self._mark("session", until).encode()) and int(until) > self._now()

    def form_mark(self, session: str) -> str:
        """What the forms of this session carry: other sites can send a form, but cannot read this."""
        return self._mark("form", session)

    def is_form_mark(self, session: str, mark: str) -> bool:
        """Whether a form comes from a page that we gave to this session."""
        return hmac.compare_digest(mark.encode(), self.form_mark(session).encode())

    def _mark(self, *parts: str) -> str:
        return hmac.new(self._key, "\n".join(("penstock", *parts)).encode(), hashlib.sha256).hexdigest()


def session_of(headers: Mapping[bytes, bytes]) -> str:
    """The session in the request's cookies; empty if there is none."""
    for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def without_session(cookies: str) -> str:
    """The cookies of a request without our own, for code that must not have it."""
    parts = [part.strip() for part in cookies.split(";")]
    return "; ".join(part for part in parts if part and part.partition("=")[0] != COOKIE)
