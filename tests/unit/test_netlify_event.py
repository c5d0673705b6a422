"""The event of a Netlify function, member by member."""

import base64

import pytest

from penstock.domain.errors import Rejected
from penstock.domain.limits import netlify_body_bytes_max, netlify_head_bytes_max
from penstock_ingest.netlify_event import WebRequest, event_of, is_text

ID = "0" * 32
JSON = ("content-type", "application/json")


def request(*headers: tuple[str, str], **members: object) -> WebRequest:
    given = {
        "method": "POST", "scheme": "https", "path": "/.netlify/functions/hello-background", "query": "", "body": b"",
        "client": "192.0.2.7", "headers": [("host", "site.example"), *headers], **members,
    }  # fmt: skip
    return WebRequest(**given)  # type: ignore[arg-type]


def event(*headers: tuple[str, str], **members: object) -> dict[str, object]:
    return event_of(request(*headers, **members), ID, lambda value: value == "Bearer key")


def test_an_event_has_the_members_of_the_platform() -> None:
    """All ten of them, and no other."""
    assert event(JSON, body=b'{"a": 1}', query="b=1", path="/.netlify/functions/hello-background/on%20top") == {
        "path": "/.netlify/functions/hello-background/on%20top",
        "httpMethod": "POST",
        "headers": {
            "host": "site.example",
            "content-type": "application/json",
            "x-nf-request-id": ID,
            "client-ip": "192.0.2.7",
            "x-nf-client-connection-ip": "192.0.2.7",
        },
        "multiValueHeaders": {
            "host": ["site.example"],
            "content-type": ["application/json"],
            "x-nf-request-id": [ID],
            "client-ip": ["192.0.2.7"],
            "x-nf-client-connection-ip": ["192.0.2.7"],
        },
        "queryStringParameters": {"b": "1"},
        "multiValueQueryStringParameters": {"b": ["1"]},
        "body": '{"a": 1}',
        "isBase64Encoded": False,
        "rawUrl": "https://site.example/.netlify/functions/hello-background/on%20top?b=1",
        "rawQuery": "b=1",
    }


def test_repeated_headers_and_parameters_are_joined_and_listed() -> None:
    """With a comma and a blank."""
    made = event(("x-a", "1"), ("x-a", "2"), query="q=1&q=a+b&e=&f")
    assert made["headers"]["x-a"] == "1, 2"  # type: ignore[index]
    assert made["multiValueHeaders"]["x-a"] == ["1", "2"]  # type: ignore[index]
    assert made["queryStringParameters"] == {"q": "1, a b", "e": "", "f": ""}
    assert made["multiValueQueryStringParameters"] == {"q": ["1", "a b"], "e": [""], "f": [""]}


def test_without_a_query_the_parameters_are_empty() -> None:
    """And the body is null when there is none."""
    made = event()
    members = ("queryStringParameters", "multiValueQueryStringParameters", "rawQuery", "body")
    assert [made[member] for member in members] == [{}, {}, "", None]


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "TEXT/HTML; charset=utf-8", "application/json", "application/javascript", "application/xml"),
        *("application/x-www-form-urlencoded", "application/graphql", "application/csp-report"),
        *("application/x-ndjson", "application/ld+json", "image/svg+xml", "application/JSON ; a=b"),
    ],
)
def test_text_travels_as_it_is(kind: str) -> None:
    """Parameters and case of the content type do not matter."""
    made = event(("content-type", kind), body="naïve".encode())
    assert (made["body"], made["isBase64Encoded"]) == ("naïve", False)


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "image/png", "application/jsonp", "multipart/form-data", ""]
)
def test_everything_else_is_base64(kind: str) -> None:
    """By its content type, whatever the bytes are."""
    made = event(("content-type", kind), body=b"plain")
    assert (made["body"], made["isBase64Encoded"]) == (base64.b64encode(b"plain").decode(), True)


def test_no_content_type_is_base64() -> None:
    """Not text, as one might think."""
    assert event(body=b"{}")["isBase64Encoded"] is True
    assert is_text("application/json")
    assert not is_text("")


def test_what_the_platform_adds_cannot_be_forged() -> None:
    """The caller's own say about address and request id does not get through."""
    made = event(
        ("client-ip", "10.0.0.1"),
        ("x-nf-client-connection-ip", "10.0.0.1"),
        ("x-nf-request-id", "mine"),
        ("x-nf-event", "schedule"),
    )
    headers = made["multiValueHeaders"]
    assert headers["client-ip"] == headers["x-nf-client-connection-ip"] == ["192.0.2.7"]  # type: ignore[index]
    assert headers["x-nf-request-id"] == [ID]  # type: ignore[index]
    assert "x-nf-event" not in headers  # type: ignore[operator]


def test_rights_of_this_house_stay_at_the_door() -> None:
    """The API key and the session of a browser; a token that is the function's own business goes on."""
    hidden = event(("authorization", "Bearer key"), ("cookie", "penstock_session=1.a; theme=dark"))["headers"]
    assert "authorization" not in hidden  # type: ignore[operator]
    assert hidden["cookie"] == "theme=dark"  # type: ignore[index]
    passed = event(("authorization", "Bearer visitor"), ("cookie", "penstock_session=1.a"))["headers"]
    assert passed["authorization"] == "Bearer visitor"  # type: ignore[index]
    assert "cookie" not in passed  # type: ignore[operator]


@pytest.mark.parametrize("host", ["a b", "x/y", "", "evil@site", "[::1"])
def test_a_host_that_is_none_does_not_break_the_url(host: str) -> None:
    """Functions parse it."""
    assert event(headers=[("host", host)])["rawUrl"] == "https://localhost/.netlify/functions/hello-background"


@pytest.mark.parametrize("host", ["[::1]:8700", "127.0.0.1:8700", "xn--bcher-kva.example"])
def test_a_host_is_kept_in_the_url(host: str) -> None:
    """With its port."""
    assert event(headers=[("host", host)])["rawUrl"] == f"https://{host}/.netlify/functions/hello-background"


@pytest.mark.parametrize(("told", "scheme"), [("https", "https"), ("http", "http"), ("gopher", "http"), ("", "http")])
def test_a_proxy_says_whether_the_caller_used_https(told: str, scheme: str) -> None:
    """Where it says nothing that can be, the connection counts."""
    url = event(("x-forwarded-proto", told), scheme="http")["rawUrl"]
    assert str(url).partition(":")[0] == scheme


def test_address_and_headers_may_fill_their_limit() -> None:
    """They are stored with each call."""
    bare = request(("x-a", ""))
    used = len(bare.path) + sum(len(name) + len(value) for name, value in bare.headers)
    event(("x-a", "v" * (netlify_head_bytes_max - used)))
    for members in ({}, {"query": "q"}):
        with pytest.raises(Rejected, match="at most 32768"):
            event(("x-a", "v" * (netlify_head_bytes_max - used + (not members))), **members)


def test_text_may_fill_the_limit() -> None:
    """One byte more is too much, and characters count as their bytes."""
    whole = event(JSON, body=b"a" * netlify_body_bytes_max)["body"]
    assert len(whole) == netlify_body_bytes_max  # type: ignore[arg-type]
    for body in (b"a" * (netlify_body_bytes_max + 1), b"\xff" * (netlify_body_bytes_max // 3 + 1)):
        with pytest.raises(Rejected, match="at most 262144 bytes"):
            event(JSON, body=body)


def test_base64_counts_as_it_travels() -> None:
    """Four bytes for three."""
    fits = netlify_body_bytes_max // 4 * 3
    assert len(event(body=b"a" * fits)["body"]) == netlify_body_bytes_max  # type: ignore[arg-type]
    with pytest.raises(Rejected, match="base64"):
        event(body=b"a" * (fits + 1))
