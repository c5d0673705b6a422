"""The delivery log over HTTP."""

from penstock.domain.notify.notice import Notice
from penstock.domain.system import NotificationDue, NotificationFailed, NotificationReplayed, NotificationSent
from sample_facts import new_id, now


async def deliver(api, channel, *facts, rule="r", execution_id=""):
    notice = Notice(id=new_id(), rule=rule, about="failed", at=now(), text="It failed.", execution_id=execution_id)
    last = 0
    for fact in (NotificationDue(at=now(), channel=channel, notice=notice), *facts):
        last = await api.log.append_system("notification", f"{channel}.{notice.id}", fact, expected=last)
    api.last = last
    return notice.id


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
