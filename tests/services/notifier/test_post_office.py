"""Notices on their way to receivers: signed, repeated until they are taken, and by one copy at a time."""

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from standardwebhooks import Webhook

from eventually import eventually
from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.system import NotificationReplayed
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.positions import Positions
from penstock.ports import Append
from penstock.wire.names import VIEW_READER, Names
from penstock_notifier import courier, desk
from sample_facts import FUNCTION, new_id
from services.notifier.office import OTHER_SECRET, SECRET, Office
from services.notifier.receivers import HttpReceiver, Reply

CONFIG = """
[channels.ops]
type = "webhook"
url = "{url}/hook"
secrets = ["env:TEST_SECRET", "env:OTHER_SECRET"]

[rules.all]
channels = ["ops"]
on = ["failed"]
group = false
"""


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
async def office(
    connection: Connection, environment: Names, log: JetStreamLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setenv("TEST_SECRET", SECRET)
    monkeypatch.setenv("OTHER_SECRET", OTHER_SECRET)
    office = Office(connection, environment, log, tmp_path)
    yield office
    await office.close_all()


async def test_a_failure_arrives_signed_with_each_secret(office: Office, receiver: HttpReceiver) -> None:
    """As Standard Webhooks says, so that its own library verifies it; with links and without arguments."""
    office.configure(CONFIG.format(url=receiver.url))
    await office.open()
    execution_id = await office.end(metadata={"user": "u1"})
    await eventually(lambda: receiver.got)
    got = receiver.got[0]
    for secret in (SECRET, OTHER_SECRET):
        Webhook(secret).verify(got.body.decode(), got.headers)
    assert (got.path, got.json["type"]) == ("/hook", "penstock.execution.failed")
    data = got.json["data"]
    assert data["execution"] == {
        "id": execution_id,
        "attempt": 1,
        "trace_id": execution_id,
        "metadata": {"user": "u1"},
        "links": {
            "execution": f"https://pen.example/executions/{execution_id}",
            "trace": f"http://jaeger/{execution_id}",
        },
    }
    assert (data["error"]["code"], data["text"]) == ("user_error", "add failed: ValueError: boom")
    delivery = await office.delivery("ops", got.headers["webhook-id"], "sent")
    assert [(each.ok, each.detail) for each in delivery.attempts] == [(True, "HTTP 200")]


async def test_arguments_travel_only_if_a_setting_allows_it(office: Office, receiver: HttpReceiver) -> None:
    """Large ones stay where they are."""
    office.configure(CONFIG.format(url=receiver.url))
    office.settings["notify_arguments"] = True
    await office.open()
    await office.end(args=Raw(b"[1, 2]"))
    await office.end(args=Raw(b'["' + b"x" * 9000 + b'"]'))
    await eventually(lambda: len(receiver.got) == 2)
    executions = [got.json["data"]["execution"] for got in receiver.got]
    assert [each.get("arguments") for each in executions] == [{"args": [1, 2], "kwargs": {}}, None]


async def test_a_receiver_that_is_down_gets_it_later_with_the_same_id(office: Office, receiver: HttpReceiver) -> None:
    """The second try comes after five seconds, and what others are told does not wait for it."""
    receiver.reply = lambda got: Reply(503 if len(receiver.got) == 1 else 204)
    office.configure(CONFIG.format(url=receiver.url))
    await office.open()
    await office.end()
    await eventually(lambda: receiver.got)
    await office.delivery("ops", receiver.ids[0], "retrying")
    await office.end()
    await eventually(lambda: len(receiver.got) == 2)
    office.ahead = 6_000_000
    await eventually(lambda: len(receiver.got) == 3)
    assert receiver.ids[2] == receiver.ids[0] != receiver.ids[1]
    delivery = await office.delivery("ops", receiver.ids[0], "sent")
    assert [each.detail for each in delivery.attempts] == ["HTTP 503", "HTTP 204"]


async def test_410_disables_the_channel_until_somebody_enables_it(office: Office, receiver: HttpReceiver) -> None:
    """What comes meanwhile is dead at once, and can be replayed."""
    receiver.reply = lambda got: Reply(410)
    office.configure(CONFIG.format(url=receiver.url))
    await office.open()
    await office.end()
    await eventually(lambda: receiver.got)
    dead = await office.delivery("ops", receiver.ids[0], "dead")
    assert await office.notices.disabled("ops") == "HTTP 410: the receiver wants nothing more."
    await office.end()

    async def second() -> Any:
        entries = await office.log.reader.subject(office.names.executions, office.names.delivery_filter("ops"))
        subjects = {entry.subject for entry in entries} - {office.names.delivery_subject("ops", dead.notice.id)}
        return subjects and await office.notices.read("ops", subjects.pop().rsplit(".", 1)[1])

    later = await eventually(second)
    later = await office.delivery("ops", later.notice.id, "dead")
    assert later.attempts[0].detail.startswith("The channel is disabled: HTTP 410")
    assert len(receiver.got) == 1
    receiver.reply = lambda got: Reply(200)
    await office.notices.enable("ops", "ada", office.clock())
    await office.notices.tell(later, NotificationReplayed(at=office.clock(), author="ada"))
    await office.delivery("ops", later.notice.id, "sent")
    assert receiver.ids[1] == later.notice.id


async def test_redirects_are_not_followed(office: Office, receiver: HttpReceiver) -> None:
    """Whoever controls the receiver must not choose where we go."""
    other = HttpReceiver()
    receiver.reply = lambda got: Reply(302, {"Location": other.url})
    office.configure(CONFIG.format(url=receiver.url))
    await office.open()
    await office.end()
    await eventually(lambda: receiver.got)
    delivery = await office.delivery("ops", receiver.ids[0], "retrying")
    assert "redirects are not followed" in delivery.attempts[0].detail
    assert not other.got
    other.close()


async def test_addresses_of_this_network_are_refused(office: Office, receiver: HttpReceiver) -> None:
    """Unless the setting allows them."""
    del office.settings["egress_allow"]
    office.configure(CONFIG.format(url=receiver.url))
    await office.open()
    await office.end()

    async def refused() -> Any:
        entries = await office.log.reader.subject(office.names.executions, office.names.delivery_filter("ops"))
        return len(entries) == 2 and entries[1].data

    assert b"PENSTOCK_EGRESS_ALLOW" in await eventually(refused)
    assert not receiver.got


async def test_a_receiver_that_hangs_delays_no_other_channel(office: Office, receiver: HttpReceiver) -> None:
    """Each channel has its own queue."""
    stuck = HttpReceiver()
    stuck.hold.clear()
    second = (
        CONFIG.replace("[channels.ops]", "[channels.stuck]").replace("rules.all", "rules.more").format(url=stuck.url)
    )
    office.configure(CONFIG.format(url=receiver.url) + second.replace('["ops"]', '["stuck"]'))
    await office.open()
    for _ in range(3):
        await office.end()
    await eventually(lambda: stuck.got and len(receiver.got) == 3)
    assert len(stuck.got) == 1
    stuck.hold.set()
    await eventually(lambda: len(stuck.got) == 3)
    stuck.close()


async def test_one_copy_works_and_the_other_takes_over(office: Office, receiver: HttpReceiver) -> None:
    """The first one finishes what it is sending when it is stopped; nothing comes twice, and nothing is left undone."""
    # Each answer takes a moment, so that the stop comes in the middle of one.
    pause = threading.Event()
    receiver.reply = lambda got: Reply(500 if pause.wait(0.03) else 200)
    office.configure(CONFIG.format(url=receiver.url))
    first = await office.open()
    await office.open()
    for _ in range(10):
        await office.end()
    await eventually(lambda: len(receiver.got) >= 3)
    await office.close(first)
    await office.end()
    await eventually(lambda: len(set(receiver.ids)) == 11)
    for notification in set(receiver.ids):
        await office.delivery("ops", notification, "sent")
    assert len(receiver.ids) == 11


async def test_a_killed_notifier_loses_none_and_repeats_the_one_in_flight(
    office: Office, receiver: HttpReceiver
) -> None:
    """Killed while the receiver has it and before the log says so; facts written meanwhile are told by the next."""
    office.configure(CONFIG.format(url=receiver.url))
    first = await office.open()
    await office.end()
    await eventually(lambda: receiver.got)
    await office.delivery("ops", receiver.ids[0], "sent")
    receiver.hold.clear()
    for _ in range(3):
        await office.end()
    await eventually(lambda: len(receiver.got) == 2)
    await office.close(first, kill=True)
    await office.end()
    receiver.hold.set()
    await office.open()
    await eventually(lambda: len(receiver.got) == 6)
    for notification in receiver.ids:
        await office.delivery("ops", notification, "sent")
    assert receiver.ids.count(receiver.ids[1]) == 2
    assert len(set(receiver.ids)) == 5


async def test_more_notices_than_fit_into_memory_all_arrive(
    office: Office, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit stays in the log until there is room."""
    monkeypatch.setattr(courier, "OPEN_MAX", 2)
    receiver.hold.clear()
    office.configure(CONFIG.format(url=receiver.url))
    await office.open()
    for _ in range(6):
        await office.end()
    await eventually(lambda: receiver.got)
    receiver.hold.set()
    await eventually(lambda: len(receiver.got) == 6)
    assert len(set(receiver.ids)) == 6


async def test_metadata_is_looked_up_where_a_rule_asks_for_it(office: Office, receiver: HttpReceiver) -> None:
    """Final facts do not carry it."""
    office.configure(CONFIG.format(url=receiver.url) + 'metadata = {team = ["a", "b"]}\n')
    await office.open()
    await office.end(metadata={"team": "c"})
    wanted = await office.end(metadata={"team": "b"})
    await eventually(lambda: receiver.got)
    assert [got.json["data"]["execution"]["id"] for got in receiver.got] == [wanted]


async def test_a_clock_that_is_ahead_stops_no_rule(office: Office, receiver: HttpReceiver) -> None:
    """A fact from the year 2100 is told like any other, and the digest after it still comes."""
    office.configure(CONFIG.format(url=receiver.url).replace("group = false", 'digest = "1m"'))
    await office.open()
    office.ahead = 10**15
    await office.end()
    office.ahead = 0
    await eventually(lambda: receiver.got)
    await office.end()

    def a_second_later() -> bool:
        office.ahead += 1_000_000
        return len(receiver.got) == 2

    await eventually(a_second_later)
    assert receiver.got[1].json["type"] == "penstock.incident.digest"


async def test_what_is_not_in_the_log_is_measured(
    office: Office, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function that no runner has, and a view that nobody makes; both are over when that changes."""
    monkeypatch.setattr(desk, "MEASURE_SECONDS", 0.05)
    rules = '[rules.idle]\nchannels = ["ops"]\nno_runner = "1m"\n[rules.lag]\nchannels = ["ops"]\nview_lag = "1m"\n'
    office.configure(CONFIG.format(url=receiver.url) + rules)
    await office.open()
    execution_id, at = new_id(), office.clock()
    first = f.Enqueued(n=1, at=at, function=FUNCTION, trace_id=execution_id)
    last = await office.log.append(Append(execution_id=execution_id, function=FUNCTION, facts=[first], expected=0))
    office.ahead = 70_000_000
    await eventually(lambda: len(receiver.got) == 1)
    office.ahead = 140_000_000
    await eventually(lambda: len(receiver.got) == 2)
    assert {got.json["type"] for got in receiver.got} == {"penstock.condition.no_runner", "penstock.condition.view_lag"}
    started = f.Started(n=2, at=office.clock(), activation=1, attempt=1, runner="r1")
    entry = Append(execution_id=execution_id, function=FUNCTION, facts=[started], expected=last)
    await Positions(office.connection, office.names).store(VIEW_READER, await office.log.append(entry) + 100)
    await eventually(lambda: len(receiver.got) == 4)
    assert [got.json["data"]["over"] for got in receiver.got[2:]] == [True, True]


async def test_a_missing_secret_is_said_at_the_start(
    office: Office, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With channel and field, and never the secret."""
    monkeypatch.delenv("OTHER_SECRET")
    office.configure(CONFIG.format(url=receiver.url))
    with pytest.raises(Rejected, match=r"channels\.ops\.secrets: .*OTHER_SECRET"):
        await office.open(begins=False)
