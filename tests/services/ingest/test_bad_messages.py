"""Every kind of bad message on NATS ends as a rejected event with its code."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from penstock.domain.limits import event_bytes_max
from penstock.jetstream.server import EmbeddedServer
from running_ingest import Ingest, running_ingest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ingest(nats_server: EmbeddedServer) -> AsyncIterator[Ingest]:
    """One service for all tests here: what is refused leaves nothing behind."""
    async with running_ingest(nats_server.url) as service:
        yield service


GOOD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "user.signup"}
CE = {"Content-Type": "application/cloudevents+json"}
BAD_MESSAGES: list[tuple[str, str, bytes, dict[str, str], str]] = [
    ("events", "user.x", b"{", {}, "invalid_json"),
    ("events", "user.x", b"", {}, "invalid_json"),
    ("events", "user.x", b"[NaN]", {}, "invalid_json"),
    ("events", "user.x", b"[9223372036854775808]", {}, "invalid_arguments"),
    ("events", "user.x", b"[" * 65 + b"]" * 65, {}, "too_deep"),
    ("events", "user.x", b'"' + b"x" * event_bytes_max + b'"', {}, "payload_too_large"),
    ("events", "user.\u00fc", b"1", {}, "invalid_name"),
    ("events", ".".join("abcdefghi"), b"1", {}, "invalid_name"),
    ("events", "user.x", b"1", {"Penstock-Idempotency-Key": "k" * 257}, "invalid_option"),
    ("events", "user.x", msgspec.json.encode(GOOD), CE, "invalid_event"),
    ("events", "user.signup", b'{"specversion":"1.0"}', CE, "invalid_event"),
    ("events", "user.signup", msgspec.json.encode({**GOOD, "specversion": "2.0"}), CE, "invalid_event"),
    ("events", "user.signup", b"x", {"Content-Type": "application/cloudevents+avro"}, "unsupported_media_type"),
    ("events", "user.signup", b"1", {"ce-id": "1", "ce-type": "user.signup"}, "invalid_event"),
    ("invoke", "nobody", b"{}", {}, "unknown_function"),
    ("invoke", "a.b", b"{}", {}, "invalid_name"),
    ("invoke", "add", b'{"args":["one",2]}', {}, "invalid_arguments"),
    ("invoke", "add", b"[1,2]", {}, "invalid_arguments"),
    ("invoke", "add", b'{"args":[1,2],"options":{"dellay":1}}', {}, "invalid_option"),
    ("invoke", "add", b'{"args":[1,2],"options":{"delay":"soon"}}', {}, "invalid_duration"),
    ("invoke", "add", b'{"args":[1,2]}', {"Penstock-Execution-Id": "mine"}, "invalid_option"),
]


@pytest.mark.parametrize(("door", "name", "data", "headers", "code"), BAD_MESSAGES)
async def test_a_bad_message_is_recorded_and_blocks_nothing(
    ingest: Ingest, door: str, name: str, data: bytes, headers: dict[str, str], code: str
) -> None:
    """It ends as a rejected event with its code; the good one behind it goes through."""
    subject = ingest.names.event_subject(name) if door == "events" else ingest.names.invoke_subject(name)
    bad = await ingest.publish(subject, data, headers or None)
    good = await ingest.publish(ingest.names.event_subject("user.x"), b"1")
    fact = await ingest.rejected(bad)
    assert (fact.code, fact.subject) == (code, subject)
    assert len(fact.excerpt) <= 512
    assert (await ingest.fanned_out(good)).executions != []
