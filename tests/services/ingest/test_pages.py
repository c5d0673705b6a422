"""The buttons of a page: they do what the API does, and only from a page of ours."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from penstock.domain.notify.notice import Notice
from penstock.domain.system import ChannelDisabled, NotificationFailed
from penstock.jetstream.notices import NoticeLog
from penstock.service.session import COOKIE, Sessions
from running_ingest import KEY, Ingest
from sample_facts import new_id, now

ADD = "/v1/functions/add/executions"
SESSIONS = Sessions(KEY)


@pytest.fixture
async def browser(ingest: Ingest) -> AsyncIterator[httpx2.AsyncClient]:
    """Signed in."""
    async with httpx2.AsyncClient(base_url=ingest.http.base_url, cookies={COOKIE: SESSIONS.begin()}) as browser:
        yield browser


def form(browser: httpx2.AsyncClient, once: str = "") -> dict[str, str]:
    return {"mark": SESSIONS.form_mark(browser.cookies[COOKIE]), "once": once or new_id()}


async def start(ingest: Ingest) -> str:
    return str((await ingest.post(ADD, {"args": [1, 2]})).json()["id"])


async def test_a_button_runs_it_again_once(ingest: Ingest, browser: httpx2.AsyncClient) -> None:
    """A second click on the same button leads to the same execution; another page has another button."""
    execution_id = await start(ingest)
    fields = form(browser)
    answers = [await browser.post(f"/executions/{execution_id}/rerun", data=fields) for _ in range(2)]
    assert [each.status_code for each in answers] == [303, 303]
    (where,) = {each.headers["location"] for each in answers}
    facts = await ingest.facts(where.rsplit("/", 1)[1])
    assert facts[0].rerun_of == execution_id
    other = await browser.post(f"/executions/{execution_id}/rerun", data=form(browser))
    assert other.headers["location"] != where


async def test_a_button_cancels(ingest: Ingest, browser: httpx2.AsyncClient) -> None:
    """And leads back; when it is too late a page says so."""
    execution_id = await start(ingest)
    answer = await browser.post(f"/executions/{execution_id}/cancel", data=form(browser))
    assert answer.headers["location"] == f"/executions/{execution_id}"
    assert len(await ingest.facts(execution_id)) == 2
    unknown = await browser.post(f"/executions/{new_id()}/rerun", data=form(browser))
    assert (unknown.status_code, "No such execution" in unknown.text) == (404, True)


async def test_a_form_from_elsewhere_is_refused(ingest: Ingest, browser: httpx2.AsyncClient) -> None:
    """Without the mark of the page, with that of another session, or sent by another site."""
    execution_id = await start(ingest)
    path = f"/executions/{execution_id}/cancel"
    foreign = {"mark": SESSIONS.form_mark("someone else")}
    for fields, headers in (({}, {}), (foreign, {}), (form(browser), {"sec-fetch-site": "cross-site"})):
        assert (await browser.post(path, data=fields, headers=headers)).status_code == 403
    browser.cookies.clear()
    assert (await browser.post(path, data={})).status_code == 401
    assert len(await ingest.facts(execution_id)) == 1


async def test_a_notification_is_replayed(ingest: Ingest) -> None:
    """To all its channels or to one; one that is on its way already is left alone."""
    notices = NoticeLog(ingest.runtime.log)
    notice = Notice(id=new_id(), rule="r", about="failed", at=now(), text="It failed.")
    for channel in ("ops", "team"):
        await notices.due(channel, notice, now())
        delivery = await notices.read(channel, notice.id)
        assert delivery is not None
        await notices.tell(delivery, NotificationFailed(at=now(), detail="HTTP 410"))
    path = f"/v1/notifications/{notice.id}/replay"
    one = await ingest.post(path, {"channel": "ops", "author": "ada"})
    assert (one.status_code, one.json()["channels"]) == (202, ["ops"])
    for _ in range(2):
        both = await ingest.post(path)
        assert sorted(both.json()["channels"]) == ["ops", "team"]
    for channel in ("ops", "team"):
        delivery = await notices.read(channel, notice.id)
        assert delivery is not None
        assert (delivery.state, delivery.tries, len(delivery.attempts)) == ("due", 0, 1)
    assert (await ingest.post(path, {"channel": "nowhere"})).json()["code"] == "unknown_channel"
    for strange in (new_id(), "*", "a.b"):
        answer = await ingest.post(f"/v1/notifications/{strange}/replay")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_notification")


async def test_a_disabled_channel_is_enabled(ingest: Ingest) -> None:
    """One that is not disabled is not known here."""
    notices = NoticeLog(ingest.runtime.log)
    fact = ChannelDisabled(at=now(), channel="ops", reason="HTTP 410")
    await ingest.runtime.log.append_system("channel", "ops", fact)
    assert (await ingest.post("/v1/channels/ops/enable", {"author": "ada"})).status_code == 200
    assert await notices.disabled("ops") is None
    assert (await ingest.post("/v1/channels/ops/enable")).json()["code"] == "unknown_channel"
