"""Notifications: one for each execution that ended without success, stored, and seen by plain subscribers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import pytest
from msgspec import Raw

from eventually import eventually
from penstock.domain.execution import facts as f
from penstock.domain.ids import span_id
from penstock.jetstream.connect import Connection
from penstock.jetstream.ends import EndFacts
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.notices import Bookmark
from penstock.jetstream.publisher import Publisher
from penstock.ports import Append
from penstock.service.asyncapi import document
from penstock.service.concern import Concern
from penstock.wire.names import Names
from penstock_notifier.links import Links
from penstock_notifier.notifications import Notifications
from penstock_notifier.post_office import ROLE
from sample_facts import FUNCTION, new_id, now, started

BOOM = f.ErrorInfo(code="user_error", type="ValueError", message="boom")


class Inbox:
    """What a plain core NATS subscriber has received."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def put(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(message.data) for message in self.messages]


@pytest.fixture
async def inbox(connection: Connection, environment: Names) -> Inbox:
    inbox = Inbox()
    await connection.nc.subscribe(f"{environment.root}.notify.>", cb=inbox.put)
    await connection.nc.flush()
    return inbox


@pytest.fixture
def notifications(connection: Connection, environment: Names, log: JetStreamLog) -> Notifications:
    source = EndFacts(connection, environment, environment.notify_consumer)
    links = Links("http://127.0.0.1:8700/", "http://jaeger/trace/{trace_id}")
    return Notifications(source, log, Publisher(connection).publish, environment, links)


@pytest.fixture
async def running(notifications: Notifications) -> AsyncIterator[Notifications]:
    loop = asyncio.create_task(notifications.run())
    yield notifications
    await notifications._source.stop()
    await loop


async def end(log: JetStreamLog, final: f.AnyFact, **fields: Any) -> str:
    execution_id = new_id()
    first = f.Enqueued(n=1, at=now(), function=FUNCTION, trace_id=execution_id, **fields)
    facts = [first, started(), final]
    entry = Append(
        execution_id=execution_id, function=FUNCTION, facts=facts, expected=0, is_awaited="parent_id" in fields
    )
    await log.append(entry)
    return execution_id


@pytest.mark.usefixtures("running")
async def test_a_failed_execution_is_told_once_as_a_cloudevent(
    log: JetStreamLog, inbox: Inbox, environment: Names
) -> None:
    """On the subject of its outcome and function, with the reason, and without its arguments."""
    failed = f.Failed(n=3, at=1_800_000_000_123_456, attempt=1, error=BOOM)
    execution_id = await end(log, failed, metadata={"user": "u1"})
    other = await end(log, f.Cancelled(n=3, at=now()))
    await eventually(lambda: len(inbox.messages) >= 2)
    by_subject = {event["subject"]: event for event in inbox.events}
    assert set(by_subject) == {execution_id, other}
    assert len(inbox.messages) == 2
    message = next(each for each in inbox.messages if execution_id in each.data.decode())
    assert message.subject == f"{environment.root}.notify.failed.{FUNCTION}"
    assert message.headers["Content-Type"].startswith("application/cloudevents+json")
    event = by_subject[execution_id]
    span = span_id(execution_id, "notify")
    assert event["traceparent"] == message.headers["traceparent"] == f"00-{execution_id}-{span}-01"
    assert (event["specversion"], event["type"]) == ("1.0", "penstock.execution.failed")
    assert event["time"] == "2027-01-15T08:00:00.123456Z"
    execution = event["data"]["execution"]
    assert (execution["id"], execution["function"], execution["state"]) == (execution_id, FUNCTION, "failed")
    assert (execution["attempt"], execution["error"]["code"]) == (1, "user_error")
    assert execution["links"] == {
        "execution": f"http://127.0.0.1:8700/executions/{execution_id}",
        "trace": f"http://jaeger/trace/{execution_id}",
    }
    assert not {"args", "kwargs", "arguments", "metadata"} & set(execution)


@pytest.mark.usefixtures("running")
async def test_a_success_is_not_told(log: JetStreamLog, inbox: Inbox) -> None:
    """Not even that of a child, whose fact is an end fact for its parent."""
    await end(log, f.Succeeded(n=3, at=now(), attempt=1), parent_id=new_id())
    last = await end(log, f.Discarded(n=3, at=now()))
    await eventually(lambda: any(event["subject"] == last for event in inbox.events))
    assert [event["subject"] for event in inbox.events] == [last]


async def test_a_notification_is_stored(log: JetStreamLog, running: Notifications, connection: Connection) -> None:
    """A durable subscriber that was away finds it."""
    await end(log, f.Failed(n=3, at=now(), attempt=1, error=BOOM))
    names = running._names

    async def stored() -> bool:
        info = await connection.js.stream_info(names.notifications)
        return info.state.messages == 1

    await eventually(stored)


async def test_arguments_travel_only_if_allowed(
    log: JetStreamLog, connection: Connection, environment: Names, inbox: Inbox
) -> None:
    """And the stack is shortened to its end, where the reason stands."""
    source = EndFacts(connection, environment, environment.notify_consumer)
    publish, links = Publisher(connection).publish, Links("http://p", "")
    notifications = Notifications(source, log, publish, environment, links, arguments=True)
    loop = asyncio.create_task(notifications.run())
    long = f.ErrorInfo(code="user_error", type="ValueError", stack="\n".join(f"line {n}" for n in range(100)))
    await end(log, f.Failed(n=3, at=now(), attempt=1, error=long), args=Raw(b"[1]"), kwargs=Raw(b'{"b":2}'))
    await eventually(lambda: inbox.messages)
    execution = inbox.events[0]["data"]["execution"]
    assert execution["arguments"] == {"args": [1], "kwargs": {"b": 2}}
    assert execution["error"]["stack"].splitlines()[0] == "..."
    assert execution["error"]["stack"].endswith("line 99")
    await source.stop()
    await loop


async def test_a_repeat_has_the_same_id(log: JetStreamLog, notifications: Notifications, inbox: Inbox) -> None:
    """A notifier that died between publishing and acknowledging tells it again, recognisably."""
    await end(log, f.Failed(n=3, at=now(), attempt=1, error=BOOM))
    await end(log, f.Failed(n=3, at=now(), attempt=1, error=BOOM))
    facts = await notifications._source.take(10)
    facts += [] if len(facts) == 2 else await notifications._source.take(10)
    for fact in (*facts, *facts):
        await notifications.tell(fact, Concern(fact.execution_id))
    await eventually(lambda: len(inbox.messages) == 4)
    ids = [event["id"] for event in inbox.events]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]
    await notifications._source.stop()


async def test_what_the_rules_keep_is_not_taken_for_a_position(
    log: JetStreamLog, notifications: Notifications, inbox: Inbox
) -> None:
    """They may have stored their state before the consumer was made."""
    await Bookmark(log, ROLE).store(b'{"position":7}')
    loop = asyncio.create_task(notifications.run())
    await end(log, f.Failed(n=3, at=now(), attempt=1, error=BOOM))
    await eventually(lambda: inbox.events)
    await notifications._source.mark()
    assert await Bookmark(log, ROLE).load() == b'{"position":7}'
    await notifications._source.stop()
    await loop


@pytest.mark.usefixtures("running")
async def test_what_is_told_is_what_the_asyncapi_document_says(log: JetStreamLog, inbox: Inbox) -> None:
    """Each outcome fits the schema of its message, and has the fields of its example."""
    finals = [
        f.Failed(n=3, at=now(), attempt=1, error=f.ErrorInfo(code="crashed")),
        f.Cancelled(n=3, at=now()),
        f.Discarded(n=3, at=now()),
    ]
    for final in finals:
        await end(log, final)
    await eventually(lambda: len(inbox.messages) == len(finals))
    components = document()["components"]
    for event in inbox.events:
        message = components["messages"][event["type"].rsplit(".", 1)[1]]
        jsonschema_rs.Draft7Validator({"components": components, **message["payload"]}).validate(event)
        shown = message["examples"][0]["payload"]
        assert shown.keys() == event.keys()
        told = event["data"]["execution"]
        assert shown["data"]["execution"].keys() == told.keys()
        assert shown["data"]["execution"]["error"].keys() == told["error"].keys()
