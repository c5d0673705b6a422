"""The delivery log and the page of an execution over HTTP."""

import re

from penstock.domain.execution.facts import Enqueued, ErrorInfo, Failed, Started
from penstock.domain.notify.notice import Notice
from penstock.domain.system import NotificationDue, NotificationFailed, NotificationReplayed, NotificationSent
from sample_facts import new_id, now
from services_query_api import KEY

XSS = "<script>alert('1')</script>"


async def deliver(api, channel, *facts, rule="r", execution_id=""):
    notice = Notice(id=new_id(), rule=rule, about="failed", at=now(), text="It failed.", execution_id=execution_id)
    last = 0
    for fact in (NotificationDue(at=now(), channel=channel, notice=notice), *facts):
        last = await api.log.append_system("notification", f"{channel}.{notice.id}", fact, expected=last)
    api.last = last
    return notice.id


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


async def test_the_delivery_log_shows_every_attempt(api):
    """The latest notification first, each with its state and what receivers said."""
    dead = await deliver(api, "ops", NotificationFailed(at=1_000_000, detail="HTTP 410"))
    sent = await deliver(
        api,
        "team",
        NotificationFailed(at=now(), detail="HTTP 503", next_at=now()),
        NotificationSent(at=now()),
        rule="s",
    )
    again = await deliver(
        api, "ops", NotificationFailed(at=now(), detail="x"), NotificationReplayed(at=now(), author="a")
    )
    listed = (await api.get("/v1/notifications"))["data"]
    assert [(each["id"], each["state"]) for each in listed] == [(again, "due"), (sent, "sent"), (dead, "dead")]
    assert listed[2]["attempts"] == [{"at": "1970-01-01T00:00:01.000000Z", "ok": False, "detail": "HTTP 410"}]
    assert [each["ok"] for each in listed[1]["attempts"]] == [False, True]
    one = await api.get(f"/v1/notifications/{dead}")
    assert one["data"] == [listed[2]]


async def test_notifications_are_filtered_and_paged(api):
    """By state, channel, rule and execution; a wrong filter is refused."""
    execution_id = new_id()
    first = await deliver(api, "ops", execution_id=execution_id)
    second = await deliver(api, "team", rule="s")

    async def ids(**params):
        return [each["id"] for each in (await api.get("/v1/notifications", **params))["data"]]

    assert await ids(channel="ops") == [first]
    assert await ids(rule="s,t") == [second]
    assert await ids(execution_id=execution_id) == [first]
    assert await ids(state="dead") == []
    page = await api.get("/v1/notifications", limit=1)
    assert [each["id"] for each in page["data"]] == [second]
    assert await ids(limit=1, cursor=page["next"]) == [first]
    assert (await api.get("/v1/notifications", 400, state="lost"))["code"] == "invalid_query"
    assert (await api.get(f"/v1/notifications/{new_id()}", 404))["code"] == "unknown_notification"


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
    """After the key was typed once; with facts, error, notifications and a button."""
    api = sqlite_api
    execution_id = await failed(api, metadata={"user": "u1"})
    await deliver(api, "ops", NotificationSent(at=now(), detail="HTTP 200"), execution_id=execution_id)
    await api.get("/v1/notifications")
    browser = await signed_in(api, f"/executions/{execution_id}")
    page = await browser.get(f"/executions/{execution_id}")
    assert page.status_code == 200
    for text in ("work", "failed", "user_error: ValueError", "Traceback boom", "u1", "enqueued", "started", "HTTP 200"):
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
