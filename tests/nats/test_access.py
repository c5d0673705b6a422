"""What each NATS user may do, and above all what it may not."""

import json
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

import nats
from eventually import eventually
from guarded_server import guarded_server
from penstock.jetstream.access import OPERATOR, PASSWORDS_FILE, SERVICES, USERS, authorization, passwords, permissions
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.refused import StartRefused
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Unavailable
from penstock.wire.names import Names
from sample_facts import entry, new_id

NAMES = Names()
KEY = "pk_test-key"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with all users and a provisioned environment."""
    with guarded_server(tmp_path_factory.mktemp("guarded"), NAMES, KEY) as server:
        yield server


class Guest:
    """A plain NATS client, as the outside has one, that remembers what the server refused."""

    def __init__(self, client: Client, errors: list[str]) -> None:
        self.client = client
        self.errors = errors

    async def settled(self) -> None:
        """Until the server has answered all that was sent; nats-py may send the PING of a flush before what waits."""
        await self.client.flush()
        await self.client.flush()

    async def is_refused(self, subject: str, payload: bytes = b"{}") -> bool:
        """Whether the server forbids this publish."""
        self.errors.clear()
        await self.client.publish(subject, payload)
        await self.settled()
        return any("permissions violation for publish" in error.lower() for error in self.errors)

    async def may_not_listen(self, subject: str) -> bool:
        """Whether the server forbids this subscription."""
        self.errors.clear()
        subscription = await self.client.subscribe(subject)
        await self.settled()
        await subscription.unsubscribe()
        return any("permissions violation for subscription" in error.lower() for error in self.errors)


@asynccontextmanager
async def guest(server: EmbeddedServer, user: str) -> AsyncIterator[Guest]:
    """Log in as a user of the server."""
    errors: list[str] = []

    async def on_error(error: Exception) -> None:
        errors.append(str(error))

    password = KEY if user == "trigger" else passwords(server.data_dir)[user]
    prefix = b"_INBOX" if user == "trigger" else f"_INBOX_{user}".encode()
    client = await nats.connect(
        server.url, user=user, password=password, error_cb=on_error, inbox_prefix=prefix, allow_reconnect=False
    )
    try:
        yield Guest(client, errors)
    finally:
        await client.close()


async def test_trigger_publishes_events_and_gets_the_acknowledgement(guarded: EmbeddedServer) -> None:
    """Any client with the API key as password; the acknowledgement is the acceptance."""
    async with guest(guarded, "trigger") as trigger:
        js = trigger.client.jetstream()
        for subject in (NAMES.event_subject("user.signup"), NAMES.invoke_subject("add")):
            assert (await js.publish(subject, b"{}")).stream == NAMES.events
        assert trigger.errors == []


async def test_trigger_reads_notifications_live_and_stored(guarded: EmbeddedServer) -> None:
    """By a plain subscription, and by a consumer of its own on NOTIFICATIONS."""
    subject = NAMES.notification_subject("failed", "add")
    async with guest(guarded, "trigger") as trigger, guest(guarded, "notifier") as notifier:
        live = await trigger.client.subscribe(f"{NAMES.root}.notify.>")
        await trigger.settled()
        await notifier.client.jetstream().publish(subject, b"{}")
        assert (await live.next_msg(timeout=5)).subject == subject
        stored = await trigger.client.jetstream().pull_subscribe(subject, "mine", stream=NAMES.notifications)
        [message] = await stored.fetch(1, timeout=5)
        await message.ack_sync(timeout=5)
        assert trigger.errors == []


@pytest.mark.parametrize(
    "subject",
    [
        NAMES.fact_subject("0" * 31 + "1", "add", "run"),
        NAMES.system_subject("function_declared", "add"),
        NAMES.notification_subject("failed", "add"),
        NAMES.timer_subject("1" * 32, "w1"),
        NAMES.hint_subject("r1"),
        NAMES.log_subject("1" * 32, 1),
        NAMES.registry_subject("add"),
        NAMES.lease_subject("r1"),
        NAMES.payload_meta_subject("eA=="),
        f"{NAMES.root}.invoke.a.b",
        "penstock.prod.events.signup",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.CREATE.MINE",
        f"$JS.API.STREAM.INFO.{NAMES.events}",
        f"$JS.API.STREAM.MSG.GET.{NAMES.executions}",
        f"$JS.API.DIRECT.GET.{NAMES.executions}",
        f"$JS.API.STREAM.PURGE.{NAMES.notifications}",
        f"$JS.API.STREAM.DELETE.{NAMES.notifications}",
        f"$JS.API.CONSUMER.CREATE.{NAMES.events}.spy",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{NAMES.executions}.spy",
        f"$JS.API.CONSUMER.MSG.NEXT.{NAMES.executions}.run-add",
        f"$JS.API.CONSUMER.DELETE.{NAMES.executions}.run-add",
        f"$JS.ACK.{NAMES.executions}.run-add.1.1.1.1.0",
        "_INBOX_runner.abc",
    ],
)
async def test_trigger_may_not_publish_anything_else(guarded: EmbeddedServer, subject: str) -> None:
    """The outside neither writes facts nor sees, changes or steers what is inside."""
    async with guest(guarded, "trigger") as trigger:
        assert await trigger.is_refused(subject)


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "penstock.>",
        f"{NAMES.root}.events.>",
        f"{NAMES.root}.x.>",
        "_INBOX_runner.>",
        "_INBOX_query.>",
        "$JS.>",
        "$KV.>",
    ],
)
async def test_trigger_may_not_listen_to_anything_else(guarded: EmbeddedServer, subject: str) -> None:
    """Not to events of others, not to the log, not to the answers that services get."""
    async with guest(guarded, "trigger") as trigger:
        assert await trigger.may_not_listen(subject)


FORBIDDEN = [
    ("ingest", f"$JS.API.STREAM.PURGE.{NAMES.executions}"),
    ("ingest", f"$JS.API.STREAM.DELETE.{NAMES.events}"),
    ("ingest", NAMES.notification_subject("failed", "add")),
    ("ingest", NAMES.registry_subject("add")),
    ("scheduler", NAMES.event_subject("signup")),
    ("scheduler", f"$JS.API.STREAM.MSG.DELETE.{NAMES.executions}"),
    ("scheduler", NAMES.log_subject("1" * 32, 1)),
    ("runner", NAMES.event_subject("signup")),
    ("runner", NAMES.system_subject("event_fanned_out", "1")),
    ("runner", NAMES.notification_subject("failed", "add")),
    ("runner", f"$JS.API.STREAM.PURGE.{NAMES.executions}"),
    ("runner", f"$JS.API.STREAM.UPDATE.{NAMES.executions}"),
    ("runner", f"$JS.API.CONSUMER.DELETE.{NAMES.executions}.run-other"),
    ("runner", f"$JS.API.CONSUMER.MSG.NEXT.{NAMES.events}.fan-out"),
    ("notifier", NAMES.fact_subject("1" * 32, "add", "fact")),
    ("notifier", NAMES.event_subject("signup")),
    ("notifier", NAMES.timer_subject("1" * 32, "w1")),
    ("query", NAMES.fact_subject("1" * 32, "add", "end")),
    ("query", NAMES.event_subject("signup")),
    ("query", NAMES.notification_subject("failed", "add")),
    ("query", NAMES.lease_subject("r1")),
    ("query", NAMES.payload_meta_subject("eA==")),
    ("query", f"$JS.ACK.{NAMES.executions}.run-add.1.1.1.1.0"),
    ("operator", NAMES.fact_subject("1" * 32, "add", "fact")),
    ("operator", f"$JS.API.STREAM.PURGE.{NAMES.executions}"),
    ("operator", f"$JS.API.STREAM.DELETE.{NAMES.executions}"),
]


@pytest.mark.parametrize(("user", "subject"), FORBIDDEN)
async def test_a_service_may_not_do_the_work_of_another(guarded: EmbeddedServer, user: str, subject: str) -> None:
    """A service that is taken over can do its own work and no more."""
    async with guest(guarded, user) as service:
        assert await service.is_refused(subject)


@pytest.mark.parametrize("user", USERS)
async def test_no_service_hears_the_answers_of_another(guarded: EmbeddedServer, user: str) -> None:
    """Inboxes are private."""
    other = "runner" if user != "runner" else "ingest"
    async with guest(guarded, user) as service:
        for subject in (">", "_INBOX.>", f"_INBOX_{other}.>", f"{NAMES.root}.>"):
            assert await service.may_not_listen(subject)


@pytest.mark.parametrize("user", ["ingest", "scheduler", "runner"])
async def test_writers_append_and_read_the_log(guarded: EmbeddedServer, user: str) -> None:
    """With the connection that services use."""
    connection = Connection(user)
    await connection.open(guarded.url, user=user, password=passwords(guarded.data_dir)[user])
    log = JetStreamLog(connection, NAMES)
    execution_id = new_id()
    sequence = await log.append(entry(execution_id))
    assert [each.sequence for each in await log.read(execution_id, "add")] == [sequence]
    assert connection.problem is None
    await connection.close()


@pytest.mark.parametrize("user", ["query", "notifier", "operator"])
async def test_readers_follow_the_log(guarded: EmbeddedServer, user: str) -> None:
    """Reading needs no right to write."""
    writer, reader = Connection("runner"), Connection(user)
    await writer.open(guarded.url, user="runner", password=passwords(guarded.data_dir)["runner"])
    await reader.open(guarded.url, user=user, password=passwords(guarded.data_dir)[user])
    sequence = await JetStreamLog(writer, NAMES).append(entry(new_id()))
    async for batch in JetStreamLog(reader, NAMES).follow(sequence - 1):
        assert batch[0].sequence == sequence
        break
    assert reader.problem is None
    await writer.close()
    await reader.close()


async def test_a_wrong_password_is_refused_at_once(guarded: EmbeddedServer) -> None:
    """With a sentence, not after minutes of trying."""
    connection = Connection("runner")
    before = time.monotonic()
    with pytest.raises(Unavailable, match=r"wrong user or password \(runner\)"):
        await connection.open(guarded.url, user="runner", password="wrong")
    assert time.monotonic() - before < 3


async def test_a_forbidden_publish_shows_as_a_problem_of_the_connection(guarded: EmbeddedServer) -> None:
    """The caller itself only sees a time-out."""
    connection = Connection("query")
    await connection.open(guarded.url, user="query", password=passwords(guarded.data_dir)["query"])
    await connection.nc.publish(NAMES.event_subject("signup"), b"{}")
    assert "permission" in await eventually(lambda: connection.problem)
    await connection.close()


def test_passwords_are_random_private_and_kept(tmp_path: Path) -> None:
    """One per user, only for the owner of the directory, the same at the next start."""
    known = passwords(tmp_path)
    assert set(known) == set(USERS)
    assert len(set(known.values())) == len(USERS)
    assert stat.S_IMODE((tmp_path / PASSWORDS_FILE).stat().st_mode) == 0o600
    assert passwords(tmp_path) == known


def test_a_damaged_password_file_is_a_sentence(tmp_path: Path) -> None:
    """Not a traceback, and not new passwords behind the back of running services."""
    (tmp_path / PASSWORDS_FILE).write_text("{")
    with pytest.raises(StartRefused, match="cannot be read"):
        passwords(tmp_path)


async def test_passwords_are_in_no_argument_and_no_log(guarded: EmbeddedServer) -> None:
    """The process list and the log are read by more people than the data directory."""
    assert guarded.process is not None
    command = Path(f"/proc/{guarded.process.pid}/cmdline")
    seen = command.read_bytes() if command.exists() else b""
    log = (guarded.data_dir / "nats.log").read_bytes()
    for secret in [*passwords(guarded.data_dir).values(), KEY]:
        assert secret.encode() not in seen + log


@pytest.mark.parametrize("key", ['a"b', "a\\b", "a b", "$2a$11$abc", "ключ", "a\nb", "x" * 257])
def test_a_key_that_cannot_be_a_password_is_refused(key: str) -> None:
    """The server's configuration would read it as something else."""
    with pytest.raises(StartRefused, match="PENSTOCK_API_KEY"):
        authorization([NAMES], dict.fromkeys(USERS, "x"), key)


def test_without_a_key_there_is_no_user_for_the_outside() -> None:
    """Never a user with an empty password."""
    users = authorization([NAMES], dict.fromkeys(USERS, "x"), "")["users"]
    assert {each["user"] for each in users} == {*SERVICES, OPERATOR}
    assert "trigger" not in json.dumps(users)


def test_nobody_has_rights_on_the_whole_of_jetstream() -> None:
    """A wide grant would undo all narrow ones."""
    for rights in permissions(NAMES).values():
        for subject in rights["publish"]:
            assert not subject.startswith(("$JS.>", "$JS.API.>", "$JS.API.STREAM.>", "$KV.>", "$O.>", ">"))
