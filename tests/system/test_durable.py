"""Durable functions end to end: one running product, real worker processes, HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penstock.testing.server import Server, running
from penstock_process import until

FINAL = {"succeeded", "failed", "cancelled", "discarded"}


class Door:
    """The HTTP door of a running product."""

    def __init__(self, server: Server) -> None:
        self.http = httpx2.Client(
            base_url=server.url, headers={"Authorization": f"Bearer {server.api_key}"}, timeout=30
        )

    def call(self, function: str, *args: Any) -> str:
        """The id of a new execution."""
        answer = self.http.post(f"/v1/functions/{function}/executions", json={"args": list(args)})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def post(self, path: str, body: Any) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code < 400, answer.text
        return answer.json()

    def until_state(self, execution: str, *states: str) -> dict[str, Any]:
        """The execution once it is in one of these states."""

        def look() -> Any:
            found = self.get(f"/v1/executions/{execution}")
            return found if found["state"] in states else None

        return dict(until(look, 30))

    def result(self, execution: str) -> Any:
        """Its result; fails when it has none."""
        ended = self.until_state(execution, *FINAL)
        assert ended["state"] == "succeeded", ended["error"]
        return self.get(f"/v1/executions/{execution}/result")

    def kinds(self, execution: str) -> list[str]:
        return [fact["kind"] for fact in self.get(f"/v1/executions/{execution}/facts")["data"]]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("durable")
    with running("durable_app:app", folder, path=Path(__file__).parent) as server:
        yield Door(server)


def test_steps_sleeps_and_children_in_an_async_function(door: Door) -> None:
    """The result says that each came once and that the attempt stayed the first."""
    execution = door.call("everything")
    found = door.result(execution)
    assert found == {
        "total": 3, "many": [3, 7, 11], "first": [1, None], "attempt": 1, "slept": True, "same": found["same"],
    }  # fmt: skip
    kinds = door.kinds(execution)
    assert kinds.count("step_completed") == 2  # the step, and the note that the losers were cancelled
    assert kinds.count("child_called") == 3


def test_the_losers_of_a_wait_for_the_first_are_cancelled(door: Door) -> None:
    """A child that nobody waits for any more does not go on for ever."""
    execution = door.call("everything")
    door.result(execution)

    def look() -> Any:
        children = door.get(f"/v1/executions?parent_id={execution}&function=hangs")["data"]
        return [child["state"] for child in children] == ["cancelled"]

    until(look)


def test_the_same_in_a_plain_function(door: Door) -> None:
    """Without `await`; its process is free while it waits."""
    found = door.result(door.call("everything_plainly"))
    assert found == {"total": 3, "many": [3, 7], "first": [1, 15], "attempt": 1}


def test_waits_and_steps_side_by_side(door: Door) -> None:
    """TaskGroup, gather and as_completed work as they do anywhere."""
    assert door.result(door.call("side_by_side")) == ["400ms", 1, "100ms", "200ms", 2, "3", "50ms"]


def test_an_event_that_came_before_the_wait_counts(door: Door) -> None:
    """From the start of the attempt on; others with the same name do not."""
    execution = door.call("approval", "d1")
    door.until_state(execution, "running", "waiting")
    for doc, role in (("d2", "lead"), ("d1", "junior"), ("d1", "lead")):
        door.post("/v1/events", {"name": "doc.approved", "data": {"doc": doc, "by": {"role": role}}})
    assert door.result(execution) == {"doc": "d1", "by": {"role": "lead"}}


@pytest.mark.parametrize(
    ("body", "answer"),
    [({"result": 7}, "yes: 7"), ({"error": {"message": "too dear"}}, "no: too dear")],
    ids=["completed", "rejected"],
)
def test_a_token_is_used_from_outside(door: Door, tmp_path: Path, body: Any, answer: str) -> None:
    """Whoever has its address may say yes or no, once, without a key."""
    execution = door.call("asks_somebody", str(tmp_path / "url"))
    url = until(lambda: (tmp_path / "url").exists() and (tmp_path / "url").read_text())
    used = httpx2.post(url, json=body, timeout=20)
    assert used.status_code < 300, used.text
    assert door.result(execution) == answer
    assert httpx2.post(url, json={"result": 8}, timeout=20).status_code == 409


def test_messages_are_received_in_order(door: Door) -> None:
    """Also those that came before; without one in time the answer is None."""
    execution = door.call("listens")
    for number in (1, 2):
        door.post(f"/v1/executions/{execution}/messages", {"channel": "orders", "body": {"number": number}})
    assert door.result(execution) == [{"number": 1}, {"number": 2}, None]
    progress = door.get(f"/v1/executions/{execution}")["progress"]
    assert (progress["done"], progress["total"], progress["note"]) == (1, 3, "listening")


def test_what_was_done_is_undone_when_it_fails(door: Door, tmp_path: Path) -> None:
    """In reverse, and the error stays the first one."""
    execution = door.call("saga", str(tmp_path))
    ended = door.until_state(execution, *FINAL)
    assert (ended["state"], ended["error"]["message"]) == ("failed", "no money")
    assert (tmp_path / "journal").read_text().split("\n")[:-1] == [
        "hotel", "flight", "seat", "undo flight", "undo hotel",
    ]  # fmt: skip


def test_what_was_done_is_undone_when_it_is_cancelled(door: Door, tmp_path: Path) -> None:
    """Also while it waits and no code of it runs."""
    (tmp_path / "wait").touch()
    execution = door.call("saga", str(tmp_path))
    until(lambda: door.kinds(execution).count("wait_opened") == 2)
    door.post(f"/v1/executions/{execution}/cancel", {})
    assert door.until_state(execution, *FINAL)["state"] == "cancelled"
    assert (tmp_path / "journal").read_text().split("\n")[-3:-1] == ["undo flight", "undo hotel"]


def test_it_waits_for_a_fix_instead_of_failing(door: Door, tmp_path: Path) -> None:
    """`resume` goes on with what it had."""
    execution = door.call("pauses", str(tmp_path / "fixed"))
    assert door.until_state(execution, "waiting")["error"]["message"] == "mend me"
    (tmp_path / "fixed").touch()
    door.post(f"/v1/executions/{execution}/resume", {})
    assert door.result(execution) == "mended"


def test_a_step_is_retried_by_itself(door: Door, tmp_path: Path) -> None:
    """With one key for all tries, while the attempt stays the first."""
    assert door.result(door.call("retries_a_step", str(tmp_path / "tries"))) == ["done", "never", 1]
    keys = (tmp_path / "tries").read_text().split()
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_cancel_spreads_to_children(door: Door) -> None:
    """And they to theirs."""
    execution = door.call("parent_of_hanging")

    def running() -> Any:
        children = door.get(f"/v1/executions?parent_id={execution}")["data"]
        return [child["state"] for child in children] == ["running", "running"]

    until(running)
    door.until_state(execution, "waiting")
    door.post(f"/v1/executions/{execution}/cancel", {})

    def cancelled() -> Any:
        children = door.get(f"/v1/executions?parent_id={execution}")["data"]
        return [child["state"] for child in children] == ["cancelled", "cancelled"]

    until(cancelled)


@pytest.mark.parametrize(("number", "outcome"), [(-1, "failed"), (7, "succeeded")])
def test_a_hook_runs_once_as_a_child_of_what_ended(door: Door, number: int, outcome: str) -> None:
    """It knows what ended, how, and with what result; its own end starts nothing."""
    execution = door.call("watched", number)
    assert door.until_state(execution, *FINAL)["state"] == outcome
    hook = dict(until(lambda: (door.get(f"/v1/executions?parent_id={execution}")["data"] or [None])[0], 30))
    told = door.result(hook["id"])
    error, result = ("negative", None) if outcome == "failed" else (None, 7)
    assert told == [f"penstock.execution.{outcome}", execution, error, result]
    assert (hook["function"], hook["root_id"]) == ("notice", execution)
    assert hook["trace_id"] == door.get(f"/v1/executions/{execution}")["trace_id"]
    assert [each["id"] for each in door.get(f"/v1/executions?parent_id={execution}")["data"]] == [hook["id"]]
    assert not door.get(f"/v1/executions?parent_id={hook['id']}")["data"]


def test_metrics_of_the_product_show_its_functions(door: Door) -> None:
    """With the rights that each service has: the queues are those of the server."""
    door.result(door.call("add", 1, 2))

    wanted = ('penstock_queue_runnable{function="add"}', 'finished_total{function="add",state="succeeded"}')
    until(lambda: all(each in door.http.get("/metrics").text for each in wanted), 30)
