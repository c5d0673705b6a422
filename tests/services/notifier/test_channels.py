"""Slack, e-mail and Apprise: one message per incident, with a link from which the execution can be run again."""

import email
import email.policy
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest

from eventually import eventually
from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.notify.channels import Apprise, Email
from penstock.domain.notify.notice import Notice
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.wire.names import Names
from penstock_notifier.channels.apprise import AppriseSender
from penstock_notifier.channels.email import EmailSender
from penstock_notifier.channels.slack import content
from penstock_notifier.channels.webhook import retry_after
from penstock_notifier.message import Message, Refused
from services.notifier.office import Office
from services.notifier.receivers import HttpReceiver, Mailbox, Reply, Slack

RULE = """
[rules.all]
channels = ["team"]
digest = "1m"
quiet = "1m"
"""


def message(notice_id: str = "n1", **fields: object) -> Message:
    notice = Notice(id=notice_id, rule="r", about="failed", at=1_800_000_000_000_000, text="It\nfailed", **fields)  # type: ignore[arg-type]
    return Message(notice_id, notice, "dev", "http://p/executions/e1", "", {"user": "ada"}, None, None)


@pytest.fixture
def slack() -> Iterator[tuple[Slack, HttpReceiver]]:
    slack = Slack()
    receiver = HttpReceiver(slack.reply)
    yield slack, receiver
    receiver.close()


@pytest.fixture
async def office(
    connection: Connection, environment: Names, log: JetStreamLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-1")
    office = Office(connection, environment, log, tmp_path)
    yield office
    await office.close_all()


async def test_an_incident_is_one_message_in_slack_kept_up_to_date(
    office: Office, slack: tuple[Slack, HttpReceiver]
) -> None:
    """The first failure posts it, the digest and the recovery change it and say so in its thread."""
    server, receiver = slack
    office.configure(
        f'[channels.team]\ntype = "slack"\ntoken = "env:SLACK_TOKEN"\nchannel = "#alerts"\napi = "{receiver.url}/api"\n'
        + RULE
    )
    await office.open()
    execution_id = await office.end()
    await eventually(lambda: server.messages)
    (ts,) = server.messages
    posted = server.messages[ts]
    assert server.tokens[0] == "Bearer xoxb-1"
    assert posted["blocks"][1]["text"]["text"] == "```Traceback: &lt;boom&gt; &amp; more```"
    assert posted["blocks"][3]["elements"][0]["url"] == f"https://pen.example/executions/{execution_id}"
    await office.end()
    await office.end()
    # The log is read in order: when this one is told, those before it are known.
    await office.end(error=f.ErrorInfo(code="crashed"))
    await eventually(lambda: len(server.messages) == 2)
    office.ahead = 62_000_000
    await eventually(lambda: len(server.threads.get(ts, [])) == 1)
    assert "2 times more, 3 in all" in server.messages[ts]["text"]
    await office.end("succeeded")
    office.ahead = 130_000_000
    await eventually(lambda: len(server.threads[ts]) == 2)
    assert "add has recovered" in server.messages[ts]["text"]
    assert len(server.messages) == 2


async def test_a_message_that_is_gone_is_posted_anew(office: Office, slack: tuple[Slack, HttpReceiver]) -> None:
    """Somebody has deleted it: what there is to say is still said."""
    server, receiver = slack
    office.configure(
        f'[channels.team]\ntype = "slack"\ntoken = "env:SLACK_TOKEN"\nchannel = "#alerts"\napi = "{receiver.url}/api"\n'
        + RULE
    )
    await office.open()
    await office.end()
    await eventually(lambda: server.messages)
    server.messages.clear()
    await office.end("succeeded")
    office.ahead = 62_000_000
    await eventually(lambda: server.messages)
    assert "recovered" in next(iter(server.messages.values()))["text"]


async def test_an_incoming_webhook_gets_each_notice(
    office: Office, slack: tuple[Slack, HttpReceiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address is a secret: it is never written down, not even in a complaint."""
    _, receiver = slack
    receiver.reply = lambda got: Reply(404)
    monkeypatch.setenv("HOOK", f"{receiver.url}/services/T1/B1/verysecret")
    office.configure('[channels.team]\ntype = "slack"\nwebhook = "env:HOOK"\n' + RULE)
    await office.open()
    await office.end()
    await eventually(lambda: receiver.got)
    assert receiver.got[0].json["text"] == "add failed: ValueError: boom"

    async def recorded() -> list[bytes]:
        entries = await office.log.reader.subject(office.names.executions, office.names.delivery_filter("team"))
        return [entry.data for entry in entries][1:]

    facts = await eventually(recorded)
    assert b"HTTP 404" in facts[0]
    receiver.close()
    office.ahead = 6_000_000
    facts = await eventually(lambda: _second(recorded))
    assert not [each for each in facts if b"verysecret" in each]


async def _second(recorded: object) -> list[bytes]:
    facts: list[bytes] = await recorded()  # type: ignore[operator]
    return facts if len(facts) == 2 else []


def test_a_message_is_never_longer_than_slack_takes() -> None:
    """However much of it has to be escaped."""
    error = f.ErrorInfo(code="user_error", stack="<" * 5000)
    long = message(error=error, execution_id="e1")
    long = long._replace(notice=msgspec.structs.replace(long.notice, text="&" * 5000))
    blocks = content(long)["blocks"]
    texts = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    assert max(map(len, texts)) <= 3000
    assert len(blocks[2]["elements"][0]["text"]) <= 2000


async def test_a_mail_arrives_with_link_and_thread() -> None:
    """The digest belongs to the thread of the first mail; a repeat has the same Message-ID."""
    mailbox = Mailbox()
    channel = Email(
        host="127.0.0.1", port=await mailbox.open(), tls="none", sender="pen@example.com", to=["a@example.com"],
        username="pen", password="env:P",
    )  # fmt: skip
    sender = EmailSender(channel, lambda source: "hunter2")
    await sender.send(message(execution_id="e1"))
    await sender.send(message("n2", incident="n1", count=3))
    mails = [email.message_from_bytes(each, policy=email.policy.default) for each in mailbox.mails]
    first, second = mails
    assert isinstance(first, EmailMessage)
    assert (first["Subject"], first["To"]) == ("[dev] It failed", "a@example.com")
    assert "Open, rerun or cancel: http://p/executions/e1" in first.get_content()
    assert "user: ada" in first.get_content()
    assert second["In-Reply-To"] == first["Message-ID"]
    assert len(mailbox.logins) == 2
    await mailbox.close()


async def test_a_mail_server_that_is_away_is_a_refusal() -> None:
    """To be tried again, with the reason in the delivery log."""
    channel = Email(host="127.0.0.1", port=1, tls="none", sender="a@b", to=["c@d"])
    with pytest.raises(Refused, match="SMTP: "):
        await EmailSender(channel, str).send(message())


async def test_apprise_sends_where_it_is_installed() -> None:
    """Through any of its addresses, here one that posts JSON."""
    pytest.importorskip("apprise")
    receiver = HttpReceiver()
    where = receiver.url.removeprefix("http://")
    sender = AppriseSender("rest", Apprise(url="env:A"), lambda source: f"json://{where}")
    sent = await sender.send(message(execution_id="e1"))
    assert sent.detail == "sent"
    assert receiver.got[0].json["title"] == "[dev] It\nfailed"
    receiver.close()
    with pytest.raises(Refused):
        await sender.send(message())


def test_apprise_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and not when the first notification is lost."""
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(Rejected, match=r"penstock\[apprise\]"):
        AppriseSender("rest", Apprise(url="env:A"), str)


@pytest.mark.parametrize(
    ("header", "pause"),
    [("120", 120_000_000), ("Thu, 01 Jan 1970 00:01:00 GMT", 60_000_000), ("soon", None), ("", None), ("-1", None)],
)
def test_retry_after_is_seconds_or_a_date(header: str, pause: int | None) -> None:
    """Anything else says nothing."""
    assert retry_after(header, 0) == pause
