"""Pages for people: their frame, the sign-in, and the door in front of them.

Plain HTML made here, without scripts and without anything from elsewhere; the policy in the headers says so too.
"""

import base64
import hashlib
import re
from html import escape
from urllib.parse import parse_qs

from penstock.service.problems import Answer
from penstock.service.session import COOKIE, SESSION_SECONDS, Sessions

HOME = "/"
PAGES = "/executions/"
"""Addresses of all other pages begin so."""
SIGN_IN = "/session"
AGAIN = "again"
"""A parameter that says: the browser was here before, so it has sent the session if it has one."""
FORM_BYTES_MAX = 16 * 1024
_NEXT = re.compile(r"/(executions/[0-9a-f]{32})?")
REFRESH = '<meta http-equiv="refresh" content="5">'
"""For the head of a page whose subject still changes."""

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}
nav{font-size:.9em}h1{font-size:1.3rem}h2{font-size:1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;
border-bottom:1px solid #ddd}
td:last-child{overflow-wrap:anywhere;width:99%}td:not(:last-child),th{white-space:nowrap}
pre{background:#f5f5f3;padding:.8rem;overflow:auto;white-space:pre-wrap}
code{font-size:.9em}button{font:inherit;padding:.35rem .9rem;cursor:pointer}
.state{font-weight:bold}.failed{color:#b00020}.succeeded{color:#0a7030}
form{display:inline-block;margin-right:.6rem}input{font:inherit;padding:.35rem;width:24rem;max-width:100%}
@media(prefers-color-scheme:dark){body{background:#16181a;color:#e4e4e4}pre{background:#222528}td,th{border-color:#333}
.failed{color:#ff8a80}.succeeded{color:#80d8a0}a{color:#9ecbff}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_page(path: str) -> bool:
    """Whether the address is one of a page, at whose door a session counts as well as the key."""
    return path in (HOME, SIGN_IN) or path.startswith(PAGES)


def page_answer(title: str, body: str, status: int = 200, *, head: str = "") -> Answer:
    """A page. `title` is text; `body` and `head` are HTML in which everything from elsewhere is escaped."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{head}'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>'
    )
    return Answer(status, html.encode(), HEADERS, "text/html; charset=utf-8")


def message_page(title: str, text: str, status: int, back: str = "") -> Answer:
    """A page with one sentence."""
    link = f'<p><a href="{escape(back)}">Back</a></p>' if back else ""
    return page_answer(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>{link}", status)


def redirect(where: str, headers: dict[str, str] | None = None) -> Answer:
    """Go on there, with GET."""
    return Answer(303, b"", {"Location": where, "Cache-Control": "no-store", **(headers or {})}, "text/plain")


def form_fields(body: bytes) -> dict[str, str]:
    """The fields of a posted form, each once. What is no form has none."""
    try:
        found = parse_qs(body[:FORM_BYTES_MAX].decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in found.items()}


class Door:
    """Lets in whoever has a session, and gives one to whoever has the key."""

    def __init__(self, sessions: Sessions, *, secure: bool) -> None:
        """`secure`: the cookie travels over HTTPS only."""
        self._sessions = sessions
        self._secure = secure

    def refusal(self, path: str, query: bytes, method: str, session: str) -> Answer | None:
        """What to answer instead of the page; None lets the request in."""
        if self._sessions.is_open(session):
            return None
        if method not in ("GET", "HEAD"):
            return message_page("Signed out", "The session has run out. Open the page again.", 401)
        given = query.decode("latin-1").split("&")
        if AGAIN not in given:
            # Coming from a link elsewhere, a browser keeps a strict cookie back. Coming from here, it sends it.
            address = escape(f"{path}?{'&'.join([*filter(None, given), AGAIN])}")
            refresh = f'<meta http-equiv="refresh" content="0;url={address}">'
            link = f'<p><a href="{address}">Go on</a></p>'
            return page_answer("One moment", link, head=refresh)
        return sign_in_page(path)

    def sign_in(self, body: bytes) -> Answer:
        """The form of the sign-in page: the key, and where to go on."""
        fields = form_fields(body)
        where = fields.get("next", "")
        if not _NEXT.fullmatch(where):
            return message_page("Not here", "Open the first page (/) to sign in.", 400)
        if not self._sessions.is_key(fields.get("key", "").strip()):
            return sign_in_page(where, "This is not the API key.")
        cookie = f"{COOKIE}={self._sessions.begin()}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict"
        return redirect(where, {"Set-Cookie": cookie + ("; Secure" if self._secure else "")})


def sign_in_page(where: str, complaint: str = "") -> Answer:
    """Asks for the API key."""
    note = f'<p class="failed">{escape(complaint)}</p>' if complaint else ""
    return page_answer(
        "Sign in",
        f'<h1>Penstock</h1>{note}<form method="post" action="{SIGN_IN}"><p><label>API key<br>'
        '<input type="password" name="key" autocomplete="current-password" required autofocus></label></p>'
        f'<input type="hidden" name="next" value="{escape(where)}"><button>Sign in</button></form>',
        401,
    )
