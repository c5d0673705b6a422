"""JavaScript functions under a runner: how they end, what they take with them, and what they may ask for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventually import eventually
from penstock.domain.errors import Rejected
from penstock.domain.execution.commands import RequestCancel
from penstock.domain.execution.facts import AnyFact, AttemptLost, Enqueued
from penstock.domain.execution.retries import NETLIFY
from penstock.handle import handle
from penstock.jetstream.refused import StartRefused
from penstock.service import kernel
from penstock.service.lifecycle import system_clock
from penstock_process import until
from penstock_runner.workers.hosts import NODE_HOST, node_host
from runner_bench import Bench, StartRunner
from worker_host import Kind, worker_host

FOLDER = Path(__file__).parent / "javascript"

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed: apt-get install nodejs"),
]


async def begun(bench: Bench, function: str, *args: Any) -> str:
    """An execution whose function has said that it waits."""
    execution = await bench.enqueue(function, *args)
    await bench.lines(execution, 1, 1)
    return execution


async def cancel(bench: Bench, execution: str, *, force: bool = False) -> None:
    """As a door does it: the fact, then a hint to the runner."""
    handled = await handle(bench.log, execution, RequestCancel(force=force), system_clock, lambda: 0.5)
    assert handled.state.owner is not None
    await bench.connection.nc.publish(bench.names.hint_subject(handled.state.owner), execution.encode())


def losses(facts: list[AnyFact]) -> set[str]:
    """Why attempts were lost."""
    return {fact.reason for fact in facts if isinstance(fact, AttemptLost)}


async def test_each_attempt_has_its_own_context_and_lines(bench: Bench, start_runner: StartRunner) -> None:
    """Two attempts at once on one event loop are told apart by what they asked and wrote."""
    await start_runner("", node=str(FOLDER))
    words = ["one", "two"]
    made = [await bench.enqueue("about", word, options={"metadata": {"word": word}}) for word in words]
    for word, execution in zip(words, made, strict=True):
        assert await bench.result(execution) == {"attempt": 1, "metadata": {"word": word}, "parentId": None}
        (line,) = await bench.lines(execution, 1, 1)
        assert (line["stream"], line["level"], line["text"]) == ("stdout", "info", word)


async def test_an_error_says_where_it_was_thrown(bench: Bench, start_runner: StartRunner) -> None:
    """The stack holds the user's frames and no others."""
    await start_runner("", node=str(FOLDER))
    state = await bench.final(await bench.enqueue("fails", None))
    assert state.error is not None
    assert (state.state, state.error.code, state.error.type) == ("failed", "user_error", "TypeError")
    (frame,) = [line for line in state.error.stack.splitlines() if line.lstrip().startswith("at ")]
    assert "samples.js" in frame


async def test_a_string_cut_within_a_character_can_be_stored(bench: Bench, start_runner: StartRunner) -> None:
    """As a result and as an argument; what is left of the character becomes the sign for an unreadable one."""
    await start_runner("", node=str(FOLDER))
    execution = await bench.enqueue("half")
    assert await bench.result(execution) == "x\ufffd"
    (child,) = (await bench.final(execution)).children
    await bench.final(child)
    assert [line["text"] for line in await bench.lines(child, 1, 1)] == ["x\ufffd"]


async def test_a_result_that_nobody_could_read_fails(bench: Bench, start_runner: StartRunner) -> None:
    """It is nested too deeply: stored, it would leave the execution without an end."""
    await start_runner("", node=str(FOLDER))
    state = await bench.final(await bench.enqueue("nested", 3000))
    assert state.error is not None
    assert (state.state, state.error.code) == ("failed", "result_not_serialisable")


async def test_who_looks_at_its_signal_ends_alone(bench: Bench, start_runner: StartRunner, tmp_path: Path) -> None:
    """A cancel aborts the signal; the function cleans up, and the others in its process go on."""
    await start_runner("", node=str(FOLDER))
    other = await begun(bench, "waits", str(tmp_path / "go"))
    execution = await begun(bench, "heeds")
    await cancel(bench, execution)
    assert (await bench.final(execution)).state == "cancelled"
    assert [line["text"] for line in await bench.lines(execution, 1, 2)] == ["waiting", "cleaned up"]
    (tmp_path / "go").touch()
    assert await bench.result(other) == 1
    assert await bench.kinds(other) == ["Enqueued", "Started", "Succeeded"]


async def test_a_forced_cancel_costs_the_others_nothing(
    bench: Bench, start_runner: StartRunner, tmp_path: Path
) -> None:
    """The process dies with who was to be stopped; the other attempt in it is handed back, and no loss is counted."""
    await start_runner("", node=str(FOLDER))
    other = await begun(bench, "waits", str(tmp_path / "go"))
    execution = await begun(bench, "ignores")
    await cancel(bench, execution, force=True)
    assert (await bench.final(execution)).state == "cancelled"
    (tmp_path / "go").touch()
    await bench.result(other)
    assert losses(await bench.facts(other)) == {"drained"}


async def test_who_holds_the_event_loop_is_stopped_and_nobody_else_is_charged(
    bench: Bench, start_runner: StartRunner, tmp_path: Path
) -> None:
    """A function that computes past its time is killed with its process, as timed out."""
    await start_runner("", node=str(FOLDER))
    other = await begun(bench, "waits", str(tmp_path / "go"))
    state = await bench.final(await bench.enqueue("spins"))
    assert state.error is not None
    assert state.error.code == "timed_out"
    (tmp_path / "go").touch()
    await bench.result(other)
    assert losses(await bench.facts(other)) == {"drained"}


async def test_an_error_that_nobody_caught_fails_its_attempt_only(
    bench: Bench, start_runner: StartRunner, tmp_path: Path
) -> None:
    """Thrown by a timer, it is the error of the attempt that set the timer; the process lives."""
    await start_runner("", node=str(FOLDER))
    other = await begun(bench, "waits", str(tmp_path / "go"))
    state = await bench.final(await bench.enqueue("leaks"))
    assert state.error is not None
    assert (state.error.code, state.error.message) == ("user_error", "nobody caught this")
    (tmp_path / "go").touch()
    assert await bench.result(other) == 1
    assert await bench.kinds(other) == ["Enqueued", "Started", "Succeeded"]


async def test_who_ends_the_process_is_charged_alone(bench: Bench, start_runner: StartRunner, tmp_path: Path) -> None:
    """`process.exit` is a crash of the attempt that called it."""
    await start_runner("", node=str(FOLDER))
    other = await begun(bench, "waits", str(tmp_path / "go"))
    state = await bench.final(await bench.enqueue("quits"))
    assert state.error is not None
    assert (state.error.code, state.error.message) == ("crashed", "The worker process ended with exit code 0.")
    (tmp_path / "go").touch()
    await bench.result(other)
    assert losses(await bench.facts(other)) == {"drained"}


async def test_a_nested_call_is_a_child(bench: Bench, start_runner: StartRunner) -> None:
    """What @defer/client does inside a function goes through the runner: children, results, states and cancels."""
    await start_runner("", node=str(FOLDER))
    execution = await bench.enqueue("orders")
    assert await bench.result(execution) == {
        "about": {"attempt": 1, "metadata": {}, "parentId": execution},
        "before": "ignores",
        "own": "ExecutionNotCancellable",
        "after": "cancelled",
        "refusal": "ExecutionResultNotAvailableYet",
        "failure": "Cannot read properties of null (reading 'member')",
    }


async def test_a_rerun_keeps_the_retries_of_what_it_repeats(bench: Bench, start_runner: StartRunner) -> None:
    """Those that its door gave it, and not its function."""
    await start_runner("", node=str(FOLDER))
    first = await bench.enqueue("about", "x", policy=NETLIFY)
    again = await bench.result(await bench.enqueue("runsAgain", first))
    enqueued = (await bench.facts(again))[0]
    assert isinstance(enqueued, Enqueued)
    assert enqueued.policy == NETLIFY


async def test_a_later_attempt_does_not_enqueue_again(bench: Bench, start_runner: StartRunner) -> None:
    """The same call is the same child, twice if it is made twice; only whose result is waited for is made anew."""
    await start_runner("", node=str(FOLDER))
    execution = await bench.enqueue("repeats")
    await bench.due(execution)
    assert await bench.result(execution) == 2
    assert (await bench.kinds(execution)).count("ChildCalled") == 4


async def test_an_attempt_has_a_directory_that_goes_with_it(bench: Bench, start_runner: StartRunner) -> None:
    """Made when it is asked for, and gone when the attempt has ended."""
    await start_runner("", node=str(FOLDER))
    found = [await bench.result(await bench.enqueue("keeps")) for _ in range(2)]
    assert [files for _, files in found] == [["note"], ["note"]]
    assert found[0][0] != found[1][0]
    await eventually(lambda: not any(Path(path).exists() for path, _ in found))


async def test_an_attempt_may_ask_for_more_time(bench: Bench, start_runner: StartRunner) -> None:
    """It is not stopped at its `maxDuration` then."""
    await start_runner("", node=str(FOLDER))
    assert await bench.result(await bench.enqueue("asksForTime")) == "in time"


async def test_a_runner_serves_an_app_and_a_folder(bench: Bench, start_runner: StartRunner) -> None:
    """Side by side, each in processes of its own."""
    runtime = await start_runner("sample_app:app", node=str(FOLDER))
    assert {"add", "about"} <= set(runtime.functions)
    assert await bench.result(await bench.enqueue("add", 1, 2)) == 3
    assert (await bench.result(await bench.enqueue("about", "x")))["attempt"] == 1


async def test_a_function_of_both_is_refused(start_runner: StartRunner, tmp_path: Path) -> None:
    """It would run now here, now there."""
    (tmp_path / "add-background.js").write_text("exports.handler = async () => {};")
    (tmp_path / "add.js").write_text("exports.handler = async () => {};")
    with pytest.raises(Rejected, match="both have a function add"):
        await start_runner("sample_app:app", node=str(tmp_path))


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds no .js, .mjs or .cjs file"),
        ({"send.ts": "export {}"}, "compile it to JavaScript first"),
        ({"send.js": "exports.send = () => {}"}, "has no functions"),
        ({"send.mjs": "export const = 1"}, "SyntaxError"),
        ({"send.js": "require('no-such-package')"}, "Cannot find module 'no-such-package'"),
        (
            {f"{name}.js": "exports.x = require('@defer/client').defer(async function send() {})" for name in "ab"},
            "both have a function send",
        ),
    ],
)
def test_a_folder_that_cannot_be_served_says_why(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    """The sentence names what to change."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with worker_host(Kind("node", ("node", str(NODE_HOST)), str(tmp_path), "async"), tmp_path) as host:
        assert sentence in host.setup()[4]


def test_without_node_the_start_says_what_to_install(tmp_path: Path) -> None:
    """Missing, or too old."""
    with pytest.raises(StartRefused, match=r"Install Node\.js 20 or newer") as missing:
        node_host(".", {"PATH": str(tmp_path)})
    assert missing.value.code == "node_missing"
    (tmp_path / "node").write_text("#!/bin/sh\necho v16.20.2\n")
    (tmp_path / "node").chmod(0o755)
    with pytest.raises(StartRefused, match=r"is Node\.js v16\.20\.2") as old:
        node_host(".", {"PATH": str(tmp_path)})
    assert old.value.code == "node_too_old"


RUNNER = """
import os, subprocess, sys, tempfile, socket, time
ours, theirs = socket.socketpair()
marker = tempfile.TemporaryFile()
marker.truncate(8)
descriptors = (theirs.fileno(), marker.fileno())
child = subprocess.Popen([*sys.argv[1:], *map(str, descriptors), str(os.getpid())], pass_fds=descriptors)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_host_that_cannot_bind_itself_dies_with_its_runner() -> None:
    """Its socket stays open here, and it does not even look: the launcher has bound its life before it began."""
    program = "require('node:fs').writeSync(1, 'spinning\\n'); for (;;);"
    launch = [sys.executable, "-m", "penstock_runner.workers.launch", str(shutil.which("node")), "-e", program]
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, *launch], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    pid = int(runner.stdout.readline())
    assert runner.stdout.readline() == "spinning\n"
    runner.kill()
    runner.wait(10)
    until(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())
    runner.stdout.close()


async def test_javascript_does_not_reach_the_credentials(
    bench: Bench, start_runner: StartRunner, tmp_path: Path
) -> None:
    """The walls are those around Python functions."""
    if kernel.landlock_version() < kernel.LANDLOCK_VERSION_MIN:
        pytest.skip("this kernel has no Landlock (Linux 5.19)")
    data = tmp_path / "data"
    data.mkdir()
    (data / "api-key").write_text("secret")
    await start_runner("", node=str(FOLDER), data_dir=str(data))
    paths = [f"/proc/{os.getpid()}/root{data}/api-key", f"/proc/{os.getpid()}/environ"]
    found = await bench.result(await bench.enqueue("looks", paths))
    assert found == ["EACCES", "EACCES"]
