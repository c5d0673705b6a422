"""Executions that wait, over HTTP: their state, steps, progress, and what would wake them."""

from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.domain.execution.inherit import encode_inherited, inherited_from
from penstock.domain.execution.tokens import read_token
from penstock.jetstream.objects import Payloads
from sample_facts import new_id, now
from unit.durable_histories import called, compensating, event, opened, sleep, step, token, woken
from unit.histories import BOOM

STARTED = f.Started(n=2, at=5, activation=1, attempt=1, runner="r1")


def enqueued(execution_id, **fields):
    return f.Enqueued(**{"n": 1, "at": now(), "function": "work", "trace_id": execution_id, **fields})


async def test_a_waiting_execution_is_found_by_its_state(api):
    """And shows its progress, in the list and alone."""
    execution_id = new_id()
    progress = f.Progressed(n=3, at=7, done=3, total=10, note="pages")
    await api.append(execution_id, [enqueued(execution_id), STARTED, progress, opened(4, sleep())])
    (listed,) = (await api.get("/v1/executions", state="waiting"))["data"]
    assert listed == await api.get(f"/v1/executions/{execution_id}")
    assert (listed["state"], listed["attempt"]) == ("waiting", 1)
    assert listed["progress"] == {"done": 3.0, "total": 10.0, "note": "pages", "at": "1970-01-01T00:00:00.000007Z"}


async def test_steps_lists_steps_waits_and_calls(sqlite_api):
    """In order, open ones included."""
    execution_id, child = new_id(), new_id()
    await sqlite_api.append(
        execution_id,
        [enqueued(execution_id), STARTED, step(), called(4, child), opened(5, event(match={"doc": Raw(b"1")}))],
    )
    steps = (await sqlite_api.get(f"/v1/executions/{execution_id}/steps"))["data"]
    assert [(each["step"], each["kind"], each["state"]) for each in steps] == [
        ("a", "step", "completed"), ("call", "call", "waiting"), ("approved", "event", "waiting"),
    ]  # fmt: skip
    assert (steps[2]["name"], steps[2]["match"]) == ("doc.approved", {"doc": 1})
    assert steps[1]["children"] == [{"id": child, "function": "add", "state": None}]


async def test_a_restarted_execution_shows_what_it_took_over(sqlite_api):
    """From the object store; without it, it is an error and not a shorter list."""
    execution_id = new_id()
    history = [enqueued(execution_id), STARTED, step(3, "fetch"), step(4, "store")]
    payloads = Payloads(sqlite_api.runtime.connections["query"], sqlite_api.runtime.names)
    await payloads.put("taken-over", encode_inherited(inherited_from(history, "store")))
    fields = {"rerun_of": "ab" * 16, "restarted_from": "store", "inherited_ref": "taken-over"}
    await sqlite_api.append(execution_id, [enqueued(execution_id, **fields)])
    (taken,) = (await sqlite_api.get(f"/v1/executions/{execution_id}/steps"))["data"]
    assert (taken["step"], taken["inherited"], taken["result"]) == ("fetch", True, 1)
    assert (await sqlite_api.get(f"/v1/executions/{execution_id}"))["restarted_from"] == "store"
    other = new_id()
    await sqlite_api.append(other, [enqueued(other, inherited_ref="gone")])
    assert "gone" in (await sqlite_api.get(f"/v1/executions/{other}/steps", status=500))["detail"]


async def why(api, execution_id):
    return (await api.client.get(f"/v1/executions/{execution_id}/why")).json()


async def test_why_tells_what_a_waiting_execution_waits_for(sqlite_api):
    """Every wait, the token that ends it, the state of each child, and the next time."""
    execution_id, child = new_id(), new_id()
    await sqlite_api.append(child, [enqueued(child, function="add")], function="add")
    waits = opened(4, token(until=90), sleep(), f.Wait(key="call", wait="children", children=[child]))
    await sqlite_api.append(execution_id, [enqueued(execution_id), STARTED, called(3, child), waits])
    await sqlite_api.get("/v1/executions")
    answer = await why(sqlite_api, execution_id)
    assert (answer["rule"], answer["state"], answer["at"]) == ("waiting", "waiting", "1970-01-01T00:00:00.000090Z")
    assert [each["kind"] for each in answer["waits"]] == ["token", "sleep", "call"]
    right = read_token(sqlite_api.runtime.signing_key, answer["waits"][0]["token"])
    assert right == (execution_id, "pay")
    assert answer["waits"][2]["children"] == [{"id": child, "function": "add", "state": "queued"}]


async def test_why_tells_a_pause_and_an_undoing(sqlite_api):
    """What failed, what would go on, what is left."""
    paused, failing = new_id(), new_id()
    await sqlite_api.append(paused, [enqueued(paused), STARTED, f.Paused(n=3, at=9, attempt=1, error=BOOM)])
    answer = await why(sqlite_api, paused)
    assert (answer["rule"], answer["waits"]) == ("paused", [])
    assert "boom" in answer["detail"]
    facts = [enqueued(failing), STARTED, step(undo=True), compensating(4), f.Due(n=5, at=0)]
    await sqlite_api.append(failing, facts)
    answer = await why(sqlite_api, failing)
    assert (answer["rule"], answer["detail"].startswith("It is going to be failed")) == ("no_runner", True)


async def test_an_attempt_that_went_on_is_listed_once(sqlite_api):
    """Its two starts are one attempt."""
    execution_id = new_id()
    again = f.Started(n=5, at=50, activation=4, attempt=1, runner="r2")
    facts = [enqueued(execution_id), STARTED, opened(3, sleep()), woken(4, "nap", wakes=True), again]
    await sqlite_api.append(execution_id, facts)
    (attempt,) = (await sqlite_api.get(f"/v1/executions/{execution_id}/attempts"))["data"]
    assert (attempt["attempt"], attempt["state"], attempt["runner"]) == (1, "running", "r2")
