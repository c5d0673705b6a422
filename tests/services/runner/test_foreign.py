"""Functions that are no Python, through a real runner: a web server of the test's own, and real commands."""

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from standardwebhooks import Webhook

from eventually import eventually
from http_receiver import Received, Receiver, running_receiver
from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import CompleteWait, RequestCancel
from penstock.domain.execution.facts import ErrorInfo, RetryScheduled
from penstock.domain.execution.tokens import read_token
from penstock.domain.ids import span_id
from penstock.domain.trace import Carried
from penstock.handle import handle
from penstock.service.lifecycle import system_clock
from runner_bench import Bench, StartRunner

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
APP = "foreign_app:app"


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        monkeypatch.setenv("FOREIGN_URL", receiver.url)
        monkeypatch.setenv("FOREIGN_SECRET", SECRET)
        yield receiver


@pytest.fixture
async def runner(receiver: Receiver, start_runner: StartRunner) -> None:
    await start_runner(APP, worker_env="FOREIGN_URL", egress_allow="127.0.0.1")


async def cancel(bench: Bench, execution: str) -> None:
    """Ask for it, and give the hint that the runner may wait for."""
    done = await handle(bench.log, execution, RequestCancel(), system_clock, lambda: 0.5)
    subject = bench.names.hint_subject(done.state.owner)
    await bench.connection.nc.publish(subject, execution.encode())


def is_alive(pid: int) -> bool:
    """True for a process that runs; a zombie that nobody has collected yet is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_an_http_function_gets_a_signed_post_and_answers_with_the_result(
    bench: Bench, receiver: Receiver, runner: None
) -> None:
    """Everything about the attempt is in it, and the signature covers it."""
    receiver.answer(200, {"width": 100})
    event = {"id": "e1", "name": "picture.added", "data": {"n": 1}}
    options = {"metadata": {"user": "u1"}}
    carried = Carried(baggage="user=u1")
    execution = await bench.enqueue("resize", 1, options=options, event=event, carried=carried, unit="cm")
    assert await bench.result(execution) == {"width": 100}
    (request,) = receiver.received
    body = Webhook(SECRET).verify(request.body, request.headers)
    assert request.path == "/resize?key=s3cret"
    assert body["type"] == "penstock.attempt"
    assert body["data"].pop("callback_url") == request.headers["penstock-callback-url"]
    assert body["data"] == {
        "id": execution, "function": "resize", "attempt": 1, "args": [1], "kwargs": {"unit": "cm"}, "event": event,
        "metadata": {"user": "u1"}, "parent_id": None, "root_id": execution, "trace_id": execution,
    }  # fmt: skip
    wanted = {
        "content-type": "application/json",
        "webhook-id": execution,
        "idempotency-key": f'"{execution}"',
        "penstock-execution-id": execution,
        "penstock-function": "resize",
        "penstock-attempt": "1",
        "traceparent": f"00-{execution}-{span_id(execution, 'attempt', '1')}-01",
    }
    assert wanted.items() <= request.headers.items()


async def test_an_http_function_is_tried_again_when_its_server_says(
    bench: Bench, receiver: Receiver, runner: None
) -> None:
    """`Retry-After` replaces the policy's delay; a client error then ends it; the query of the URL stays hidden."""
    receiver.answer(503, retry_after="3600")
    receiver.answer(422, {"type": "TooWide", "message": "too wide"})
    execution = await bench.enqueue("resize")
    await bench.until(execution, lambda state: state.state == "retrying")
    fact = (await bench.facts(execution))[-1]
    assert isinstance(fact, RetryScheduled)
    assert fact.retry_at - fact.at == 3_600_000_000
    await bench.due(execution)
    state = await bench.final(execution)
    assert state.error is not None
    assert (state.state, state.error.code, state.error.type) == ("failed", "user_error", "TooWide")
    assert "/resize answered 422 " in state.error.message
    assert state.error.message.endswith(": too wide")
    (line,) = await bench.lines(execution, 1, 1)
    assert "answered 503" in line["text"]
    everything = repr(await bench.facts(execution)) + repr(line)
    assert "s3cret" not in everything
    assert SECRET not in everything


async def test_a_slow_http_function_times_out_and_a_cancelled_one_hangs_up(
    bench: Bench, receiver: Receiver, runner: None
) -> None:
    """In both cases the other side sees its connection close."""
    receiver.answers.append(None)
    state = await bench.final(await bench.enqueue("slow"))
    assert state.error is not None
    assert state.error.code == "timed_out"
    await asyncio.wait_for(receiver.closed.wait(), 5)
    receiver.closed.clear()
    execution = await bench.enqueue("patient")
    await eventually(lambda: len(receiver.received) == 2)
    await cancel(bench, execution)
    assert (await bench.final(execution)).state == "cancelled"
    await asyncio.wait_for(receiver.closed.wait(), 5)


async def test_a_url_into_the_private_network_is_refused(bench: Bench, receiver: Receiver, runner: None) -> None:
    """For good, with the setting that would allow it."""
    state = await bench.final(await bench.enqueue("inside"))
    assert state.error is not None
    assert (state.state, state.error.type, state.attempt) == ("failed", "EgressRefused", 1)
    assert "PENSTOCK_EGRESS_ALLOW" in state.error.message


async def test_a_runner_without_a_secret_or_a_command_does_not_start(
    receiver: Receiver, start_runner: StartRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the variable."""
    monkeypatch.delenv("FOREIGN_SECRET")
    with pytest.raises(Rejected, match="resize signs its requests with the secret in FOREIGN_SECRET, which is not set"):
        await start_runner(APP, worker_env="FOREIGN_URL")


async def test_a_command_gets_json_and_answers_on_descriptor_3(bench: Bench, receiver: Receiver, runner: None) -> None:
    """What is too large for a pipe too."""
    execution = await bench.enqueue("echo", "x" * 500_000, size=1)
    state = await bench.final(execution)
    assert state.state == "succeeded", state.error
    small = await bench.enqueue("echo", 1, event={"id": "e1"})
    assert await bench.result(small) == {
        "id": small, "function": "echo", "attempt": 1, "args": [1], "kwargs": {}, "event": {"id": "e1"},
        "metadata": {}, "parent_id": None, "root_id": small, "trace_id": small,
    }  # fmt: skip


async def test_a_command_sees_a_stated_environment_and_a_directory_of_its_own(
    bench: Bench, receiver: Receiver, start_runner: StartRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secret, no setting; the directory is gone afterwards."""
    monkeypatch.setenv("PENSTOCK_API_KEY", "hunter2")
    await start_runner(APP, worker_env="FOREIGN_URL,PENSTOCK_API_KEY", egress_allow="127.0.0.1")
    execution = await bench.enqueue("facts")
    seen = await bench.result(execution)
    assert seen["PENSTOCK_EXECUTION_ID"] == execution
    assert (seen["PENSTOCK_FUNCTION"], seen["PENSTOCK_ATTEMPT"], seen["TZ"]) == ("facts", "1", "UTC")
    assert seen["TRACEPARENT"] == f"00-{execution}-{span_id(execution, 'attempt', '1')}-01"
    assert seen["cwd"] == os.getcwd()
    assert not Path(seen["TMPDIR"]).exists()
    assert not {"hunter2", SECRET} & set(seen.values())


async def test_lines_of_a_command_that_dies_are_kept(bench: Bench, receiver: Receiver, runner: None) -> None:
    """Also the one without a line end; a death by signal is a crash, tried three times."""
    execution = await bench.enqueue("talks")
    state = await bench.final(execution)
    assert state.error is not None
    assert (state.state, state.error.code, state.losses) == ("failed", "crashed", 3)
    assert "SIGSEGV" in state.error.message
    lines = await bench.lines(execution, 1, 2)
    assert {(line["stream"], line["text"]) for line in lines} == {("stdout", "one"), ("stderr", "two")}


async def test_exits_and_results_decide_about_another_try(bench: Bench, receiver: Receiver, runner: None) -> None:
    """75 may pass; 64 will not, nor will a result that is too large, whatever `retries` says."""
    execution = await bench.enqueue("temporary")
    await bench.due(execution)
    assert await bench.result(execution) is None
    state = await bench.final(await bench.enqueue("usage"))
    assert state.error is not None
    assert (state.attempt, state.error.type) == (1, "EX_USAGE")
    assert state.error.message == "The command ended with exit code 64: no size"
    state = await bench.final(await bench.enqueue("floods"))
    assert state.error is not None
    assert (state.attempt, state.error.code) == (1, "result_not_serialisable")


async def test_a_command_that_takes_too_long_is_killed_with_its_children(
    bench: Bench, receiver: Receiver, runner: None, tmp_path: Path
) -> None:
    """Nothing of it is left, not even what left its session."""
    state = await bench.final(await bench.enqueue("family", str(tmp_path / "pids")))
    assert state.error is not None
    assert state.error.code == "timed_out"
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        await eventually(lambda pid=pid: not is_alive(pid))


async def test_a_cancelled_command_may_clean_up(bench: Bench, receiver: Receiver, runner: None, tmp_path: Path) -> None:
    """It gets SIGTERM; an exit without a result is then what was asked for. Its children go too."""
    execution = await bench.enqueue("stubborn", str(tmp_path / "pids"), str(tmp_path / "tidied"))
    await eventually((tmp_path / "pids.ready").exists)
    await cancel(bench, execution)
    assert (await bench.final(execution)).state == "cancelled"
    assert (tmp_path / "tidied").read_text() == "tidied"
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        await eventually(lambda pid=pid: not is_alive(pid))


async def test_a_command_beyond_its_memory_ends_without_another_try(
    bench: Bench, receiver: Receiver, runner: None
) -> None:
    """With the code that Python functions get."""
    state = await bench.final(await bench.enqueue("hungry"))
    assert state.error is not None
    assert (state.state, state.error.code, state.attempt) == ("failed", "out_of_memory", 1)
    assert signal.SIGKILL.name not in state.error.message


async def complete(bench: Bench, key: bytes, url: str, **fields: Any) -> str:
    """Do what the door for tokens does. Answers with the id of the execution that the token names."""
    execution, wait = read_token(key, url.rpartition("/")[2])
    command = CompleteWait(wait=wait, outcome=fields.pop("outcome", "completed"), early=True, **fields)
    await handle(bench.log, execution, command, system_clock, lambda: 0.5)
    return execution


async def test_a_202_waits_for_the_callback_without_a_slot(
    bench: Bench, receiver: Receiver, start_runner: StartRunner
) -> None:
    """The address is in the request; the value given there is the result, of the same attempt."""
    runtime = await start_runner(APP, worker_env="FOREIGN_URL", egress_allow="127.0.0.1")
    receiver.answer(202)
    execution = await bench.enqueue("resize")
    await bench.until(execution, lambda state: state.state == "waiting")
    url = receiver.received[0].headers["penstock-callback-url"]
    assert receiver.received[0].json["data"]["callback_url"] == url
    assert url.startswith("http://127.0.0.1:8700/v1/tokens/pt_")
    assert await complete(bench, runtime.signing_key, url, result=Raw(b'{"a": 1}')) == execution
    assert await bench.result(execution) == {"a": 1}
    kinds = ["Enqueued", "Started", "WaitOpened", "Woken", "Started", "Succeeded"]
    assert await bench.kinds(execution) == kinds
    assert ((await bench.final(execution)).attempt, len(receiver.received)) == (1, 1)


async def test_a_callback_may_come_before_the_202_and_after_a_failure(
    bench: Bench, receiver: Receiver, start_runner: StartRunner
) -> None:
    """What was completed counts, also when the answer to the request was lost on the way: nothing is sent again."""
    runtime = await start_runner(APP, worker_env="FOREIGN_URL", egress_allow="127.0.0.1")
    completed = asyncio.Event()

    async def hold(request: Received) -> None:
        await complete(bench, runtime.signing_key, request.headers["penstock-callback-url"], result=Raw(b"1"))
        completed.set()

    receiver.hold = hold
    receiver.answer(202)
    quick = await bench.enqueue("resize")
    assert await bench.result(quick) == 1
    assert completed.is_set()
    receiver.answers.clear()
    receiver.answer(500)
    lost = await bench.enqueue("resize")
    await bench.due(lost)
    assert await bench.result(lost) == 1
    assert len(receiver.received) == 2


async def test_a_callback_may_report_a_failure_or_never_come(
    bench: Bench, receiver: Receiver, start_runner: StartRunner
) -> None:
    """The first is final. The second has timed out, and another attempt gets another token."""
    runtime = await start_runner(APP, worker_env="FOREIGN_URL", egress_allow="127.0.0.1")
    receiver.answer(202)
    refused = await bench.enqueue("resize")
    await bench.until(refused, lambda state: state.state == "waiting")
    error = ErrorInfo(code="user_error", message="too wide")
    await complete(
        bench,
        runtime.signing_key,
        receiver.received[0].headers["penstock-callback-url"],
        outcome="rejected",
        error=error,
    )
    state = await bench.final(refused)
    assert state.error is not None
    assert (state.state, state.error.code, state.error.message, state.attempt) == (
        "failed",
        "user_error",
        "too wide",
        1,
    )
    late = await bench.enqueue("resize", options={"timeout": "5s", "retries": 1})
    await bench.due(late)
    state = await bench.until(late, lambda state: state.state == "retrying")
    assert state.error is not None
    assert state.error.code == "timed_out"
    await bench.due(late)
    await bench.until(late, lambda state: state.state == "waiting" and state.attempt == 2)
    first, second = (request.headers["penstock-callback-url"] for request in receiver.received[1:])
    with pytest.raises(Rejected, match="is over"):
        await complete(bench, runtime.signing_key, first)
    await complete(bench, runtime.signing_key, second, result=Raw(b"2"))
    assert await bench.result(late) == 2


async def test_a_202_to_an_execution_that_is_being_cancelled_ends_it(
    bench: Bench, receiver: Receiver, runner: None
) -> None:
    """It does not begin to wait."""

    async def hold(request: Received) -> None:
        execution = request.headers["penstock-execution-id"]
        await handle(bench.log, execution, RequestCancel(), system_clock, lambda: 0.5)

    receiver.hold = hold
    receiver.answer(202)
    assert (await bench.final(await bench.enqueue("patient"))).state == "cancelled"
