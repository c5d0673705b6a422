"""Events over HTTP and NATS, and what they start."""

import base64
from typing import Any

import msgspec
import pytest

from eventually import eventually
from penstock.domain.function.options import FunctionSpec
from penstock.jetstream.objects import Payloads
from running_ingest import Ingest, declare

STRUCTURED = "application/cloudevents+json"


def cloudevent(**change: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "/s", "type": "user.signup", "data": {"plan": "pro"}, **change}


def position(answer: Any) -> int:
    return int(answer.json()["sequence"].removeprefix("e:"))


async def started_event(ingest: Ingest, executions: list[tuple[str, str]], function: str) -> dict[str, Any]:
    """The event as that function is handed it."""
    fact = await ingest.first(dict(executions)[function])
    assert fact.event is not None
    event: dict[str, Any] = msgspec.json.decode(fact.event)
    return event


async def test_an_event_starts_every_function_that_subscribes(ingest: Ingest) -> None:
    """By name and by wildcard; `when` is true of it."""
    answer = await ingest.post("/v1/events", {"name": "user.signup", "data": {"plan": "pro"}})
    assert answer.status_code == 202
    fact = await ingest.fanned_out(position(answer))
    assert [function for function, _ in fact.executions] == ["audit", "welcome"]
    assert fact.event_id == answer.json()["id"]
    event = await started_event(ingest, fact.executions, "welcome")
    assert (event["name"], event["data"]) == ("user.signup", {"plan": "pro"})
    first = await ingest.first(dict(fact.executions)["welcome"])
    assert first.event_id == answer.json()["id"]


async def test_when_keeps_out_what_it_is_not_true_of(ingest: Ingest) -> None:
    """The others still start."""
    answer = await ingest.post("/v1/events", {"name": "user.signup", "data": {"plan": "free"}})
    fact = await ingest.fanned_out(position(answer))
    assert [function for function, _ in fact.executions] == ["audit"]
    assert fact.refused == []


async def test_a_when_that_cannot_be_evaluated_is_told(ingest: Ingest) -> None:
    """The function is listed as refused, with the reason."""
    answer = await ingest.post("/v1/events", {"name": "thing.happened", "data": {}})
    fact = await ingest.fanned_out(position(answer))
    assert fact.executions == []
    ((function, code, detail),) = fact.refused
    assert (function, code) == ("broken", "invalid_event")
    assert "size" in detail


async def test_an_event_that_matches_nothing_stays_listed(ingest: Ingest) -> None:
    """Its fan-out is in the log, and empty."""
    fact = await ingest.fanned_out(position(await ingest.post("/v1/events", {"name": "nobody.cares"})))
    assert (fact.name, fact.executions, fact.refused) == ("nobody.cares", [], [])


async def test_a_cloudevent_sent_twice_starts_its_functions_once(ingest: Ingest) -> None:
    """Its identity is source and id, whichever way it comes."""
    first = await ingest.post("/v1/events", cloudevent(), content_type=STRUCTURED)
    subject, body = ingest.names.event_subject("user.signup"), msgspec.json.encode(cloudevent())
    again = await ingest.publish(subject, body, {"Content-Type": STRUCTURED})
    one, other = await ingest.fanned_out(position(first)), await ingest.fanned_out(again)
    assert one.executions == other.executions
    assert one.event_id == first.json()["id"] == "1"
    assert len(await ingest.facts(one.executions[0][1])) == 1


async def test_the_same_identity_with_other_data_is_refused(ingest: Ingest) -> None:
    """The first one stands; the second is listed with the conflict."""
    await ingest.fanned_out(position(await ingest.post("/v1/events", cloudevent(), content_type=STRUCTURED)))
    changed = cloudevent(data={"plan": "pro", "more": 1})
    fact = await ingest.fanned_out(position(await ingest.post("/v1/events", changed, content_type=STRUCTURED)))
    assert fact.executions == []
    assert {code for _, code, _ in fact.refused} == {"idempotency_conflict"}


async def test_http_binary_mode_is_understood(ingest: Ingest) -> None:
    """Attributes are percent-decoded headers, the body is the data."""
    answer = await ingest.post(
        "/v1/events", {"plan": "pro"}, ce_id="8", ce_source="/s", ce_type="user.signup", ce_specversion="1.0",
        ce_subject="J%C3%BCrgen%20%22x%22", ce_region="eu",
    )  # fmt: skip
    fact = await ingest.fanned_out(position(answer))
    event = await started_event(ingest, fact.executions, "audit")
    assert event["subject"] == 'Jürgen "x"'
    assert event["extensions"] == {"region": "eu"}
    assert event["data"] == {"plan": "pro"}


async def test_data_that_is_no_json_travels_as_base64(ingest: Ingest) -> None:
    """In binary mode the Content-Type says what it is."""
    answer = await ingest.post(
        "/v1/events", b"\x00\xff", content_type="image/png", ce_id="9", ce_source="/s", ce_type="user.photo",
        ce_specversion="1.0",
    )  # fmt: skip
    fact = await ingest.fanned_out(position(answer))
    event = await started_event(ingest, fact.executions, "audit")
    assert (base64.b64decode(event["data_base64"]), event["datacontenttype"]) == (b"\x00\xff", "image/png")


async def test_a_batch_of_cloudevents_is_answered_item_by_item(ingest: Ingest) -> None:
    """202 when all are good, 207 with problems where not."""
    kind = "application/cloudevents-batch+json"
    good = await ingest.post("/v1/events", [cloudevent(id="a"), cloudevent(id="b")], content_type=kind)
    assert good.status_code == 202
    assert [set(item) for item in good.json()["data"]] == [{"id", "sequence"}] * 2
    mixed = await ingest.post("/v1/events", [cloudevent(id="c"), {"id": "d"}, 7], content_type=kind)
    assert mixed.status_code == 207
    assert [item["status"] for item in mixed.json()["data"]] == [202, 400, 400]
    empty = await ingest.post("/v1/events", [], content_type=kind)
    assert (empty.status_code, empty.json()) == (202, {"data": []})


async def test_bare_json_on_nats_is_an_event(ingest: Ingest) -> None:
    """The subject is its name."""
    sequence = await ingest.publish(ingest.names.event_subject("user.signup"), b'{"plan":"pro"}')
    fact = await ingest.fanned_out(sequence)
    assert [function for function, _ in fact.executions] == ["audit", "welcome"]
    assert (await started_event(ingest, fact.executions, "audit"))["data"] == {"plan": "pro"}


async def test_nats_binary_mode_is_understood(ingest: Ingest) -> None:
    """The data's media type is ce-datacontenttype."""
    headers = {"ce-id": "n1", "ce-source": "/s", "ce-type": "user.signup", "ce-specversion": "1.0"}
    headers["ce-datacontenttype"] = "text/plain"
    fact = await ingest.fanned_out(await ingest.publish(ingest.names.event_subject("user.signup"), b"hello", headers))
    event = await started_event(ingest, fact.executions, "audit")
    assert base64.b64decode(event["data_base64"]) == b"hello"
    assert (fact.source, fact.event_id) == ("/s", "n1")


@pytest.mark.parametrize("header", ["Penstock-Idempotency-Key", "Nats-Msg-Id"])
async def test_a_key_on_nats_makes_two_messages_one_event(ingest: Ingest, header: str) -> None:
    """Also after the server's own window for duplicates."""
    subject = ingest.names.event_subject("user.x")
    first = await ingest.publish(subject, b"1", {header: "k"})

    async def stored_again() -> int:
        # Within its window the server itself swallows a repeated Nats-Msg-Id.
        sequence = await ingest.publish(subject, b"1", {header: "k"})
        return sequence if sequence != first else 0

    second = await ingest.fanned_out(await eventually(stored_again))
    assert (await ingest.fanned_out(first)).executions == second.executions != []


async def test_wildcards_stand_for_one_token_and_at_the_end_for_more(ingest: Ingest) -> None:
    """`*.second.*` on longer names."""
    subject = ingest.names.event_subject("first.second.third.fourth")
    fact = await ingest.fanned_out(await ingest.publish(subject, b"null"))
    assert [function for function, _ in fact.executions] == ["second"]


async def test_the_trace_of_the_publisher_is_continued(ingest: Ingest) -> None:
    """By the header of the hop, else by that of the event's origin."""
    subject = ingest.names.event_subject("user.x")
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    by_header = await ingest.fanned_out(await ingest.publish(subject, b"1", {"traceparent": trace}))
    assert (await ingest.first(by_header.executions[0][1])).trace_id == "a" * 32
    event = cloudevent(type="user.x", traceparent=f"00-{'c' * 32}-{'d' * 16}-01")
    by_origin = await ingest.fanned_out(position(await ingest.post("/v1/events", event, content_type=STRUCTURED)))
    assert (await ingest.first(by_origin.executions[0][1])).trace_id == "c" * 32


async def test_baggage_comes_with_the_hop_or_with_the_event(ingest: Ingest) -> None:
    """As a header over NATS and HTTP, or as an extension of a CloudEvent; the hop goes before the origin."""
    subject, trace = ingest.names.event_subject("user.x"), f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {"traceparent": trace, "tracestate": "x=y", "baggage": "user=u1"}
    event = cloudevent(type="user.x", traceparent=trace, tracestate="v=w", baggage="user=u2")
    facts = [
        await ingest.publish(subject, b"1", headers),
        position(await ingest.post("/v1/events", {"name": "user.x"}, **headers)),
        position(await ingest.post("/v1/events", event, content_type=STRUCTURED)),
        position(await ingest.post("/v1/events", event | {"id": "other"}, content_type=STRUCTURED, baggage="user=u1")),
    ]
    firsts = [await ingest.first((await ingest.fanned_out(each)).executions[0][1]) for each in facts]
    assert [(first.tracestate, first.baggage) for first in firsts] == [
        ("x=y", "user=u1"), ("x=y", "user=u1"), ("v=w", "user=u2"), ("v=w", "user=u1")
    ]  # fmt: skip


async def test_a_large_event_is_stored_once_for_all_its_functions(ingest: Ingest) -> None:
    """The facts hold the name of what is in the object store."""
    text = "x" * 200_000
    fact = await ingest.fanned_out(
        await ingest.publish(ingest.names.event_subject("user.big"), msgspec.json.encode(text))
    )
    first = await ingest.first(fact.executions[0][1])
    assert (first.event, first.arguments_ref is not None) == (None, True)
    stored = msgspec.json.decode(await Payloads(ingest.connection, ingest.names).get(first.arguments_ref or ""))
    assert stored["event"]["data"] == text


async def test_a_call_over_nats_becomes_an_execution(ingest: Ingest) -> None:
    """With its arguments and options."""
    body = b'{"args":[1,2],"options":{"metadata":{"user":"u1"}}}'
    fact = await ingest.fanned_out(await ingest.publish(ingest.names.invoke_subject("add"), body))
    ((function, execution_id),) = fact.executions
    first = await ingest.first(execution_id)
    assert (function, bytes(first.args), first.metadata) == ("add", b"[1,2]", {"user": "u1"})


async def test_the_caller_on_nats_may_choose_the_id(ingest: Ingest) -> None:
    """And so knows it before any answer."""
    chosen = "ab" * 16
    headers = {"Penstock-Execution-Id": chosen}
    fact = await ingest.fanned_out(await ingest.publish(ingest.names.invoke_subject("anything"), b"{}", headers))
    assert fact.executions == [("anything", chosen)]


async def test_a_key_means_the_same_over_nats_and_http(ingest: Ingest) -> None:
    """One execution, whichever door the call comes through."""
    answer = await ingest.post("/v1/functions/add/executions", {"args": [1, 2]}, idempotency_key="k")
    headers = {"Penstock-Idempotency-Key": "k"}
    fact = await ingest.fanned_out(await ingest.publish(ingest.names.invoke_subject("add"), b'{"args":[1,2]}', headers))
    assert fact.executions == [("add", answer.json()["id"])]


async def test_a_key_with_another_payload_on_nats_is_rejected(ingest: Ingest) -> None:
    """As over HTTP, with the same code."""
    subject, headers = ingest.names.invoke_subject("add"), {"Penstock-Idempotency-Key": "k"}
    await ingest.fanned_out(await ingest.publish(subject, b'{"args":[1,2]}', headers))
    fact = await ingest.rejected(await ingest.publish(subject, b'{"args":[1,3]}', headers))
    assert fact.code == "idempotency_conflict"


async def test_a_function_declared_later_starts_only_for_later_events(ingest: Ingest) -> None:
    """Fan-out is decided once, when the event is read."""
    subject = ingest.names.event_subject("late.event")
    before = await ingest.fanned_out(await ingest.publish(subject, b"1"))
    await declare(ingest.runtime, FunctionSpec(name="late", on=["late.*"]))
    after = await ingest.fanned_out(await ingest.publish(subject, b"1"))
    assert (before.executions, [function for function, _ in after.executions]) == ([], ["late"])


async def test_a_consumer_made_anew_goes_on_behind_the_last_settled_event(ingest: Ingest) -> None:
    """What was fanned out before is not fanned out again, even to functions that are new."""
    subject = ingest.names.event_subject("late.event")
    old = await ingest.publish(subject, b"1")
    await ingest.fanned_out(old)
    await ingest.connection.js.delete_consumer(ingest.names.events, ingest.names.fan_out_consumer)
    await declare(ingest.runtime, FunctionSpec(name="late", on=["late.*"]))
    new = await ingest.fanned_out(await ingest.publish(subject, b"2"))
    assert [function for function, _ in new.executions] == ["late"]
    assert (await ingest.fanned_out(old)).executions == []


async def test_a_thousand_messages_are_all_settled(ingest: Ingest) -> None:
    """Good and bad mixed; each ends in exactly one fact."""
    first = await ingest.publish(ingest.names.invoke_subject("anything"), b"{}")
    subject = ingest.names.invoke_subject("anything")
    for number in range(999):
        await ingest.connection.nc.publish(subject, b"{}" if number % 10 else b"{")
    await ingest.settled(first + 999)

    async def settled() -> bool:
        info = await ingest.connection.js.consumer_info(ingest.names.events, ingest.names.fan_out_consumer)
        return info.num_pending == 0 and info.num_ack_pending == 0

    await eventually(settled, within=20)
    kinds = {"event_fanned_out": 900, "event_rejected": 100}
    for kind, count in kinds.items():
        found = await ingest.runtime.log.reader.subject(ingest.names.executions, ingest.names.system_subject(kind, "*"))
        assert len(found) == count
