"""Pages for people at a browser: the latest executions, and one of them."""

import re

import msgspec

from penstock.domain.execution.facts import Enqueued, ErrorInfo, Failed, Started
from penstock.domain.notify.notice import Notice
from penstock.domain.system import NotificationDue, NotificationSent
from sample_facts import new_id, now
from services_query_api import KEY

XSS = "<script>alert('1')</script>"


async def failed(api, message="boom", **fields):
    execution_id = new_id()
    error = ErrorInfo(code="user_error", type="ValueError", message=message, stack=f"Traceback {message}")
    facts = [
        Enqueued(n=1, at=now(), function="work", trace_id=execution_id, **fields),
        Started(n=2, at=now(), activation=1, attempt=1, runner="r1"),
        Failed(n=3, at=now(), attempt=1, error=error),
    ]
    await api.append(execution_id, facts)
    return execution_id


async def signed_in(api, path):
    """A browser that followed a link and typed the key."""
    browser = api.client
    del browser.headers["Authorization"]
    form = await browser.get(f"{path}?again")
    assert form.status_code == 401
    answer = await browser.post("/session", data={"key": KEY, "next": path})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    return browser


async def test_the_page_shows_what_went_wrong_and_can_run_it_again(sqlite_api):
    """After the key was typed once; with facts, error, lines, notifications and a button."""
    api = sqlite_api
    execution_id = await failed(api, metadata={"user": "u1"})
    notice = Notice(id=new_id(), rule="r", about="failed", at=now(), text="It failed.", execution_id=execution_id)
    subject = f"ops.{notice.id}"
    due = NotificationDue(at=now(), channel="ops", notice=notice)
    last = await api.log.append_system("notification", subject, due, expected=0)
    sent = NotificationSent(at=now(), detail="HTTP 200")
    api.last = await api.log.append_system("notification", subject, sent, expected=last)
    await api.get("/v1/notifications")
    lines = {"lines": [{"at": 7, "text": "<b>reading the mail</b>"}]}
    subject = api.runtime.names.log_subject(execution_id, 1)
    await api.runtime.connections["query"].js.publish(subject, msgspec.json.encode(lines))
    browser = await signed_in(api, f"/executions/{execution_id}")
    page = await browser.get(f"/executions/{execution_id}")
    assert page.status_code == 200
    shown = ("work", "failed", "user_error: ValueError", "Traceback boom", "u1", "enqueued", "started", "HTTP 200")
    for text in (*shown, "&lt;b&gt;reading"):
        assert text in page.text
    assert re.search(rf'action="/executions/{execution_id}/rerun"', page.text)
    assert (await browser.get("/v1/executions")).status_code == 401


async def test_nothing_of_an_execution_becomes_markup(sqlite_api):
    """Messages, stacks, metadata and arguments are text, and the policy forbids scripts."""
    api = sqlite_api
    execution_id = await failed(api, XSS, metadata={XSS: XSS}, idempotency_key=XSS)
    page = await api.client.get(f"/executions/{execution_id}")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert page.text.count("&lt;script&gt;") >= 4
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["cache-control"] == "no-store"


async def test_a_page_that_is_not_there_says_so(sqlite_api):
    """As a page."""
    page = await sqlite_api.client.get(f"/executions/{new_id()}")
    assert (page.status_code, "No such execution" in page.text) == (404, True)


async def test_the_first_page_leads_to_the_latest_executions(sqlite_api):
    """Newest first, by state and function, a page at a time; after the key was typed once."""
    api = sqlite_api
    first, second = await failed(api, metadata={"user": "u1"}), await failed(api, XSS)
    await api.get("/v1/executions")
    browser = await signed_in(api, "/")
    page = (await browser.get("/")).text
    assert page.index(f"/executions/{second}") < page.index(f"/executions/{first}")
    assert "user_error: &lt;script&gt;" in page
    assert "<script" not in page
    assert first not in (await browser.get("/?state=running")).text
    newest = (await browser.get("/?function=work&limit=1")).text
    older = re.search(r'href="([^"]*cursor=[^"]*)">older', newest)
    assert older is not None
    assert first not in newest
    assert first in (await browser.get(older[1].replace("&amp;", "&"))).text
    assert first in (await browser.get("/?metadata.user=u1")).text


async def test_the_first_page_refuses_what_it_does_not_know(sqlite_api):
    """As a page that names the parameter, with a way back."""
    page = await sqlite_api.client.get("/?state=lost")
    assert (page.status_code, "no state" in page.text, 'href="/"' in page.text) == (400, True, True)


async def test_a_link_from_elsewhere_keeps_its_filters(sqlite_api):
    """The browser that keeps its cookie back at first is sent to the same address again."""
    browser = sqlite_api.client
    del browser.headers["Authorization"]
    page = await browser.get("/?state=failed")
    assert "url=/?state=failed&amp;again" in page.text
