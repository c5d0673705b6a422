"""Starting executions over HTTP."""

import asyncio

import msgspec

from penstock.jetstream.objects import Payloads
from running_ingest import Ingest

PATH = "/v1/functions/add/executions"


async def test_an_accepted_call_is_the_first_fact_of_an_execution(ingest: Ingest) -> None:
    """The answer names the execution, its state, its position and its trace."""
    answer = await ingest.post(PATH, {"args": [1], "kwargs": {"b": 2}})
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["location"] == f"/v1/executions/{body['id']}"
    assert body["state"] == "queued"
    assert body["trace_id"] == body["id"]
    assert body["trace_url"] == f"http://traces/{body['id']}"
    (recorded,) = await ingest.runtime.log.read(body["id"], "add")
    assert body["sequence"] == f"x:{recorded.sequence}"
    fact = await ingest.first(body["id"])
    assert (bytes(fact.args), bytes(fact.kwargs)) == (b"[1]", b'{"b":2}')


async def test_an_empty_body_is_a_call_without_arguments(ingest: Ingest) -> None:
    """Nobody has to send braces."""
    assert (await ingest.post("/v1/functions/anything/executions", b"")).status_code == 202


async def test_the_callers_trace_is_continued(ingest: Ingest) -> None:
    """What runs at once is a child of the span in `traceparent`."""
    trace, span = "a" * 32, "b" * 16
    body = (await ingest.post(PATH, {"args": [1, 2]}, traceparent=f"00-{trace}-{span}-01")).json()
    assert body["trace_id"] == trace
    assert (await ingest.first(body["id"])).parent_span == span


async def test_baggage_and_the_state_of_the_trace_are_kept(ingest: Ingest) -> None:
    """In the first fact; what is wrong about them is left out, and the work taken."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {"traceparent": trace, "tracestate": "x=y", "baggage": "user=u1,bro ken=1"}
    first = await ingest.first((await ingest.post(PATH, {"args": [1, 2]}, **headers)).json()["id"])
    assert (first.tracestate, first.baggage) == ("x=y", "user=u1")


async def test_a_delayed_call_is_scheduled_and_has_its_wake_up(ingest: Ingest) -> None:
    """Fact first, then the wake-up, then the answer."""
    body = (await ingest.post(PATH, {"args": [1, 2], "options": {"delay": "1h"}})).json()
    assert body["state"] == "scheduled"
    subject = ingest.names.timer_subject(body["id"], "start")
    assert await ingest.runtime.log.reader.last(ingest.names.timers, subject) is not None


async def test_a_key_means_one_execution_for_twenty_callers_at_once(ingest: Ingest) -> None:
    """All get the same execution, and it is stored once."""
    answers = await asyncio.gather(
        *(ingest.post(PATH, {"args": [1, 2]}, idempotency_key='"order-7"') for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {202}
    (execution_id,) = {answer.json()["id"] for answer in answers}
    assert len(await ingest.facts(execution_id)) == 1


async def test_a_key_may_be_quoted_bare_or_an_option(ingest: Ingest) -> None:
    """The three ways to give it mean the same, and key order and white space do not count."""
    path = "/v1/functions/anything/executions"
    answers = [
        await ingest.post(path, b'{"kwargs": {"a": 1, "b": 2}}', idempotency_key='"k"'),
        await ingest.post(path, b'{"kwargs":{"b":2,"a":1}}', idempotency_key="k"),
        await ingest.post(path, {"kwargs": {"a": 1, "b": 2}, "options": {"idempotency_key": "k"}}),
    ]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_key_belongs_to_one_function(ingest: Ingest) -> None:
    """The same key for another function is another execution."""
    one = await ingest.post("/v1/functions/anything/executions", {"args": [1, 2]}, idempotency_key="k")
    other = await ingest.post(PATH, {"args": [1, 2]}, idempotency_key="k")
    assert one.json()["id"] != other.json()["id"]


async def test_a_large_argument_travels_by_the_object_store(ingest: Ingest) -> None:
    """The fact holds the name; what is stored is the arguments."""
    text = "x" * 200_000
    body = (await ingest.post("/v1/functions/anything/executions", {"args": [text]})).json()
    fact = await ingest.first(body["id"])
    assert fact.arguments_ref is not None
    assert bytes(fact.args) == b"[]"
    stored = await Payloads(ingest.connection, ingest.names).get(fact.arguments_ref)
    assert msgspec.json.decode(stored) == {"args": [text], "kwargs": {}}


async def test_a_batch_of_a_thousand_gets_a_verdict_for_each_item_in_order(ingest: Ingest) -> None:
    """Good items are stored though others are refused."""
    items = [{"args": [number, "x" if number % 100 == 7 else 1]} for number in range(1000)]
    answer = await ingest.post(PATH + "/batch", {"items": items})
    assert answer.status_code == 207
    data = answer.json()["data"]
    assert [item["status"] for item in data] == [422 if number % 100 == 7 else 202 for number in range(1000)]
    assert bytes((await ingest.first(data[999]["id"])).args) == b"[999,1]"
    assert data[7]["code"] == "invalid_arguments"
    assert data[7]["errors"][0]["pointer"] == "/args/1"


async def test_a_key_given_twice_in_a_batch_is_one_execution(ingest: Ingest) -> None:
    """And a third with other arguments is a conflict."""
    options = {"idempotency_key": "same"}
    items = [
        {"args": [1, 2], "options": options},
        {"args": [1, 2], "options": options},
        {"args": [1, 3], "options": options},
    ]
    data = (await ingest.post(PATH + "/batch", {"items": items})).json()["data"]
    assert [item["status"] for item in data] == [202, 202, 409]
    assert data[0]["id"] == data[1]["id"]


async def test_an_empty_batch_is_answered(ingest: Ingest) -> None:
    """Nothing asked, nothing done."""
    answer = await ingest.post(PATH + "/batch", {"items": []})
    assert (answer.status_code, answer.json()) == (207, {"data": []})
