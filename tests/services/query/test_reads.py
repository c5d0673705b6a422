"""One execution over HTTP: its state, result, history, and waiting for any of them."""

import asyncio

import msgspec
import pytest
from msgspec import Raw

from penstock.domain.errors import Rejected
from penstock.domain.execution import facts as f
from penstock.domain.function.options import FunctionSpec
from penstock.domain.system import EventFannedOut, EventRejected, FunctionDeclared
from penstock.jetstream.objects import Payloads
from penstock_query.progress import Progress
from penstock_query.queries import After
from penstock_query.view import View
from sample_facts import new_id, now

BOOM = f.ErrorInfo(code="user_error", type="ValueError", message="boom", stack="Traceback")


def enqueued(execution_id, **fields):
    return f.Enqueued(**{"n": 1, "at": now(), "function": "work", "trace_id": execution_id, **fields})


def started(n=2, activation=1, attempt=1, runner="r1", at=5):
    return f.Started(n=n, at=at, activation=activation, attempt=attempt, runner=runner)


async def test_a_result_is_the_bare_value(sqlite_api):
    """A succeeded execution answers 200 with its JSON value and nothing around it."""
    execution_id = new_id()
    await sqlite_api.append(
        execution_id, [enqueued(execution_id), started(), f.Succeeded(n=3, at=9, attempt=1, result=Raw(b'{"a":[1]}'))]
    )
    answer = await sqlite_api.answer(f"/v1/executions/{execution_id}/result")
    assert (answer.status_code, answer.json()) == (200, {"a": [1]})
    assert answer.headers["penstock-sequence"] == f"x:{sqlite_api.last}"


async def test_no_result_yet_is_202(sqlite_api):
    """An execution that is not final answers 202, itself, and when to ask again."""
    execution_id = new_id()
    await sqlite_api.append(execution_id, [enqueued(execution_id)])
    answer = await sqlite_api.answer(f"/v1/executions/{execution_id}/result")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("final", "code"),
    [
        (f.Failed(n=3, at=9, attempt=1, error=BOOM), "user_error"),
        (f.Failed(n=3, at=9, attempt=1, error=f.ErrorInfo(code="timed_out")), "timed_out"),
        (f.Cancelled(n=3, at=9), "cancelled"),
    ],
)
async def test_ended_without_a_result_is_409_with_the_error(sqlite_api, final, code):
    """The problem has the error's code, and the error itself as a member."""
    execution_id = new_id()
    await sqlite_api.append(execution_id, [enqueued(execution_id), started(), final])
    problem = await sqlite_api.get(f"/v1/executions/{execution_id}/result", status=409)
    assert (problem["code"], problem["error"]["code"], problem["status"]) == (code, code, 409)


async def test_a_large_result_comes_from_the_object_store(sqlite_api):
    """A result that is only named in the fact is streamed whole."""
    execution_id = new_id()
    value = msgspec.json.encode("x" * 700_000)
    await Payloads(sqlite_api.runtime.connections["query"], sqlite_api.runtime.names).put(
        f"{execution_id}.result", value
    )
    last = f.Succeeded(n=3, at=9, attempt=1, result_ref=f"{execution_id}.result")
    await sqlite_api.append(execution_id, [enqueued(execution_id), started(), last])
    answer = await sqlite_api.answer(f"/v1/executions/{execution_id}/result")
    assert (answer.status_code, answer.content) == (200, value)


async def test_a_value_missing_from_the_object_store_is_an_error(sqlite_api):
    """It is a 500 with a sentence, not an empty 200."""
    execution_id = new_id()
    await sqlite_api.append(
        execution_id, [enqueued(execution_id), started(), f.Succeeded(n=3, at=9, attempt=1, result_ref="gone")]
    )
    problem = await sqlite_api.get(f"/v1/executions/{execution_id}/result", status=500)
    assert "gone" in problem["detail"]


async def test_prefer_wait_answers_when_the_result_is_there(api):
    """A waiting request is answered by the result that comes meanwhile."""
    execution_id = new_id()
    await api.append(execution_id, [enqueued(execution_id), started()])
    waiting = asyncio.create_task(api.answer(f"/v1/executions/{execution_id}/result", {"Prefer": "wait=20"}))
    await api.append(execution_id, [f.Succeeded(n=3, at=9, attempt=1, result=Raw(b"3"))], expected=api.last)
    answer = await waiting
    assert (answer.status_code, answer.json()) == (200, 3)
    assert answer.headers["preference-applied"] == "wait=20"


async def test_prefer_wait_gives_up_in_time(sqlite_api):
    """When the time is over the answer is 202, and says that the preference was applied."""
    execution_id = new_id()
    await sqlite_api.append(execution_id, [enqueued(execution_id)])
    answer = await sqlite_api.answer(f"/v1/executions/{execution_id}/result", {"Prefer": "respond-async, wait=0"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=0")


async def test_prefer_wait_on_an_execution_shows_its_final_state(api):
    """GET of the execution waits for the final state too, and the view shows it."""
    execution_id = new_id()
    await api.append(execution_id, [enqueued(execution_id), started()])
    waiting = asyncio.create_task(api.get(f"/v1/executions/{execution_id}", headers={"Prefer": "wait=20"}))
    await api.append(execution_id, [f.Failed(n=3, at=9, attempt=1, error=BOOM)], expected=api.last)
    assert (await waiting)["state"] == "failed"


async def test_what_was_accepted_this_moment_is_never_a_404(api):
    """Reads of one execution do not depend on the view having seen it."""
    execution_id = new_id()
    await api.append(execution_id, [enqueued(execution_id, args=Raw(b"[1]"))])
    for path in ("", "/arguments", "/attempts", "/facts", "/steps", "/logs"):
        answer = await api.client.get(f"/v1/executions/{execution_id}{path}")
        assert answer.status_code == 200, path


async def test_an_unknown_execution_is_404(sqlite_api):
    """The code tells an unknown execution from an unknown address."""
    for path in ("", "/result", "/arguments", "/attempts", "/steps", "/facts", "/logs"):
        for execution_id in (new_id(), "not-an-id"):
            problem = await sqlite_api.get(f"/v1/executions/{execution_id}{path}", status=404)
            assert problem["code"] == "unknown_execution"


async def test_arguments_are_those_of_the_call_or_the_event(sqlite_api):
    """`args` and `kwargs`, and `event` where one started it."""
    called, caused = new_id(), new_id()
    await sqlite_api.append(called, [enqueued(called, args=Raw(b"[1,2]"), kwargs=Raw(b'{"c":3}'))])
    await sqlite_api.append(caused, [enqueued(caused, event=Raw(b'{"type":"user.signup"}'))])
    assert await sqlite_api.get(f"/v1/executions/{called}/arguments") == {"args": [1, 2], "kwargs": {"c": 3}}
    assert (await sqlite_api.get(f"/v1/executions/{caused}/arguments"))["event"] == {"type": "user.signup"}


async def test_attempts_after_a_retry_and_a_loss(sqlite_api):
    """Each attempt keeps its runner, its times, and how it ended."""
    execution_id = new_id()
    await sqlite_api.append(
        execution_id,
        [
            enqueued(execution_id),
            started(at=10),
            f.RetryScheduled(n=3, at=20, attempt=1, error=BOOM, retry_at=30),
            f.Due(n=4, at=30),
            started(n=5, activation=4, attempt=2, runner="r2", at=40),
            f.AttemptLost(n=6, at=50, attempt=2, activation=4, runner="r2"),
            f.Due(n=7, at=50),
            started(n=8, activation=7, attempt=3, runner="r3", at=60),
        ],
    )
    attempts = (await sqlite_api.get(f"/v1/executions/{execution_id}/attempts"))["data"]
    assert [(each["attempt"], each["state"], each["runner"]) for each in attempts] == [
        (1, "failed", "r1"),
        (2, "lost", "r2"),
        (3, "running", "r3"),
    ]
    assert attempts[0]["error"] == {"code": "user_error", "type": "ValueError", "message": "boom", "stack": "Traceback"}
    assert (attempts[0]["finished_at"], attempts[2]["finished_at"]) == ("1970-01-01T00:00:00.000020Z", None)
    assert attempts[1]["error"]["code"] == "runner_lost"


async def test_facts_are_shown_as_stored_and_page_both_ways(sqlite_api):
    """The raw history, oldest first, with cursors in both directions."""
    execution_id = new_id()
    facts = [enqueued(execution_id), started()]
    facts += [f.StepCompleted(n=n, at=n, attempt=1, step=f"s{n}", started_at=n, result=Raw(b"1")) for n in range(3, 6)]
    await sqlite_api.append(execution_id, facts)
    path = f"/v1/executions/{execution_id}/facts"
    first = await sqlite_api.get(path, limit=2)
    second = await sqlite_api.get(path, limit=2, cursor=first["next"])
    third = await sqlite_api.get(path, limit=2, cursor=second["next"])
    kinds = [[each["kind"] for each in page["data"]] for page in (first, second, third)]
    assert kinds == [["enqueued", "started"], ["step_completed", "step_completed"], ["step_completed"]]
    assert (first["previous"], third["next"]) == (None, None)
    assert (await sqlite_api.get(path, limit=2, cursor=second["previous"]))["data"] == first["data"]
    assert first["data"][1]["fact"]["runner"] == "r1"
    steps = await sqlite_api.get(f"/v1/executions/{execution_id}/steps")
    assert [(each["step"], each["result"]) for each in steps["data"]] == [("s3", 1), ("s4", 1), ("s5", 1)]


async def test_lines_of_user_code_are_listed_by_attempt(sqlite_api):
    """Lines come from the stream LOGS in order, each with its attempt."""
    execution_id = new_id()
    await sqlite_api.append(execution_id, [enqueued(execution_id), started()])
    lines = {"lines": [{"at": 7, "stream": "stdout", "level": "info", "text": f"line {n}"} for n in range(3)]}
    subject = sqlite_api.runtime.names.log_subject(execution_id, 1)
    await sqlite_api.runtime.connections["query"].js.publish(subject, msgspec.json.encode(lines))
    path = f"/v1/executions/{execution_id}/logs"
    first = await sqlite_api.get(path, limit=2)
    second = await sqlite_api.get(path, limit=2, cursor=first["next"])
    texts = [each["text"] for each in first["data"] + second["data"]]
    assert texts == ["line 0", "line 1", "line 2"]
    assert first["data"][0] | {"text": ""} == {
        "at": "1970-01-01T00:00:00.000007Z", "attempt": 1, "stream": "stdout", "level": "info", "text": "",
    }  # fmt: skip


async def test_after_waits_for_the_log_position(api):
    """A list asked with the sequence of a write made just before holds that write."""
    for _ in range(20):
        execution_id = new_id()
        await api.append(execution_id, [enqueued(execution_id)])
        listed = await api.get("/v1/executions", limit=1)
        assert listed["data"][0]["id"] == execution_id
        assert int(listed["sequence"][2:]) >= api.last


async def test_after_waits_for_the_fan_out_of_an_event(api):
    """`e:<n>` is reached by the fan-out of that event, and by its rejection."""
    waiting = asyncio.create_task(api.client.get("/v1/events", params={"after": "e:7"}))
    fact = EventFannedOut(at=9, sequence=7, event_id="a" * 32, name="user.signup", received_at=8)
    await api.log.append_system("event_fanned_out", "7", fact)
    assert [each["event_sequence"] for each in (await waiting).json()["data"]] == ["e:7"]
    assert (await api.client.get("/v1/events", params={"after": "e:7"})).status_code == 200


async def test_after_a_position_that_never_comes_is_refused_in_time(view):
    """The wait is bounded, and its refusal says where the view stands."""
    waiting = View(view.reads, Progress(), None, None, None, wait_seconds=0.01)
    for after in (After("x", 5), After("e", 5)):
        with pytest.raises(Rejected) as refused:
            await waiting.reach(after)
        assert (refused.value.code, refused.value.members) == ("unavailable", {"sequence": "x:0"})


async def test_events_show_what_became_of_them(api):
    """Matched, unmatched and rejected events are listed with executions or reason, and filtered by state and name."""
    child, subject = new_id(), api.runtime.names.event_subject("user.bad")
    facts = [
        EventFannedOut(
            at=9, sequence=1, event_id="m" * 32, name="user.signup", source="/s", executions=[("work", child)]
        ),
        EventFannedOut(at=9, sequence=2, event_id="u" * 32, name="user.left"),
        EventRejected(
            at=9,
            sequence=3,
            subject=subject,
            code="invalid_json",
            detail="No JSON.",
            excerpt="{",
        ),
    ]
    for fact in facts:
        kind = "event_rejected" if isinstance(fact, EventRejected) else "event_fanned_out"
        api.last = await api.log.append_system(kind, str(fact.sequence), fact)

    async def names(**params):
        return [each["name"] for each in (await api.get("/v1/events", **params))["data"]]

    assert await names() == ["user.bad", "user.left", "user.signup"]
    assert await names(state="accepted") == ["user.left", "user.signup"]
    assert await names(state="unmatched") == ["user.left"]
    assert await names(state="matched", name="user.signup,user.left") == ["user.signup"]
    assert await names(state="rejected", limit=1) == ["user.bad"]
    matched = await api.get(f"/v1/events/{'m' * 32}")
    assert matched["executions"] == [{"function": "work", "id": child}]
    rejected = await api.get("/v1/events/e:3")
    assert (rejected["state"], rejected["code"], rejected["detail"]) == ("rejected", "invalid_json", "No JSON.")
    assert (await api.get("/v1/events/none", status=404))["code"] == "unknown_event"
    assert (await api.get("/v1/events", status=400, state="lost"))["code"] == "invalid_query"


async def test_functions_are_listed_as_declared_last(api):
    """A function declared anew shows its new options; lists go by name and page."""
    for name, version in (("b", "1"), ("a", "1"), ("b", "2")):
        fact = FunctionDeclared(at=9, spec=FunctionSpec(name=name, version=version, on=["user.*"]), runner="r1")
        api.last = await api.log.append_system("function_declared", name, fact)
    first = await api.get("/v1/functions", limit=1)
    second = await api.get("/v1/functions", limit=1, cursor=first["next"])
    assert [each["data"][0]["name"] for each in (first, second)] == ["a", "b"]
    assert second["next"] is None
    function = await api.get("/v1/functions/b")
    assert (function["version"], function["on"], function["retries"], function["backoff"]["shape"]) == (
        "2", ["user.*"], 0, "quartic",
    )  # fmt: skip
    assert (await api.get("/v1/functions/none", status=404))["code"] == "unknown_function"


async def test_a_trace_viewer_gives_links(nats_server, environment, tmp_path):
    """With a viewer configured each execution has its link."""
    from contextlib import AsyncExitStack

    from services_query_api import open_api

    async with AsyncExitStack() as stack:
        api = await open_api(stack, nats_server, environment, tmp_path, "", trace_url="http://viewer/{trace_id}")
        execution_id = new_id()
        await api.append(execution_id, [enqueued(execution_id)])
        assert (await api.get(f"/v1/executions/{execution_id}"))["trace_url"] == f"http://viewer/{execution_id}"
