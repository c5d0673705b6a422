"""Every host keeps to WORKER_PROTOCOL.md: the same tests drive the Python worker, the Node host, and another's."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock_process import until
from penstock_runner.workers.hosts import NODE_HOST
from worker_host import EXECUTION, Kind, WorkerHost, worker_host

FUNCTIONS = Path(__file__).parent / "conformance"
PYTHON = (sys.executable, "-m", "penstock_runner.workers.child")
PATHS = {"PYTHONPATH": os.pathsep.join([str(FUNCTIONS), os.environ.get("PYTHONPATH", "")])}

KINDS = {
    "python-async": Kind("python-async", PYTHON, "conformance_async:app", "async", PATHS),
    "python-sync": Kind("python-sync", PYTHON, "conformance_sync:app", "sync", PATHS),
    "node": Kind("node", ("node", str(NODE_HOST)), str(FUNCTIONS / "node"), "async"),
}
if "HOST_COMMAND" in os.environ:
    KINDS["own"] = Kind(
        "own",
        tuple(shlex.split(os.environ["HOST_COMMAND"])),
        os.environ.get("HOST_TARGET", ""),
        os.environ.get("HOST_MODE", "async"),
    )
NO_NODE = pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed: apt-get install nodejs")
NAMES = [pytest.param(name, marks=[pytest.mark.node, NO_NODE] if name == "node" else []) for name in KINDS]


@pytest.fixture(scope="module", params=NAMES)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each host in turn."""
    return KINDS[request.param]


@pytest.fixture(scope="module")
def host(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHost]:
    """A process that has loaded the functions, shared by tests that leave it alive and idle."""
    with worker_host(kind, tmp_path_factory.mktemp("scratch")) as started:
        started.setup()
        yield started


@pytest.fixture
def own(kind: Kind, tmp_path: Path) -> Iterator[WorkerHost]:
    """A process for one test."""
    with worker_host(kind, tmp_path) as started:
        yield started


def hello_of(host: WorkerHost) -> list[Any]:
    return next(message for message in host.received if message[0] == "hello")


def test_hello_names_every_function_and_its_schedule(host: WorkerHost) -> None:
    """What is declared comes with its options."""
    _, app, specs, schedules, error, *_ = hello_of(host)
    found = {spec["name"]: spec for spec in specs}
    assert {"echo", "fail", "relay", "nightly"} <= set(found)
    assert error == ""
    assert found["nightly"]["policy"]["retries"] == 2
    assert found["echo"].get("is_async", True) is (host.kind.mode == "async")
    assert (schedules["nightly"]["rule"]["cron"], schedules["nightly"]["app"]) == ("0 2 * * *", app)


def test_hello_says_why_nothing_can_be_loaded(own: WorkerHost) -> None:
    """The text names what is missing, and the host ends."""
    hello = own.setup(own.kind.target.replace("conformance", "nowhere"))
    assert "nowhere" in hello[4]
    own.until_closed()
    assert own.process.wait(10) is not None


def test_a_result_comes_back_as_json(host: WorkerHost) -> None:
    """Arguments arrive as they were, whatever their script or depth."""
    values = [1, -2.5, "naïve ✓ 𝄞", None, True, {"a": [{"b": []}]}]
    assert host.result_of(host.run("echo", *values)) == values


def test_an_error_comes_with_its_words_and_its_place(host: WorkerHost) -> None:
    """Type, message and stack are the user's; the stack begins in user code."""
    _, _, code, kind, message, stack, terminal, retry_after, *_ = host.end_of(host.run("fail", "no such thing"))
    assert (code, message, terminal, retry_after) == ("user_error", "no such thing", False, None)
    assert kind in ("ValueError", "RangeError") or host.kind.name == "own"
    assert "fail" in stack
    assert "penstock_runner" not in stack


def test_user_code_decides_about_its_retry(host: WorkerHost) -> None:
    """Never again, or at a time of its own."""
    assert host.end_of(host.run("give_up", "never"))[6] is True
    assert host.end_of(host.run("retry_in", 90))[7] == 90


def test_what_is_no_json_is_told_as_that(host: WorkerHost) -> None:
    """A retry would not help."""
    end = host.end_of(host.run("unstorable"))
    assert (end[0], end[2], end[6]) == ("raised", "result_not_serialisable", True)


def test_an_unknown_function_fails_the_attempt(host: WorkerHost) -> None:
    """It does not stop the process."""
    assert host.end_of(host.run("no_such_function"))[0] == "raised"
    assert host.result_of(host.run("echo", 1)) == [1]


def test_lines_go_out_before_the_end(host: WorkerHost) -> None:
    """Each with its stream; the last one without a line end too."""
    number = host.run("shout", f"hear {host.kind.name}")
    assert host.result_of(number) is None
    text = f"hear {host.kind.name}"
    assert sorted(host.lines_of(number)) == [("stderr", text), ("stdout", text), ("stdout", text)]


def test_a_large_result_goes_through_a_file(host: WorkerHost) -> None:
    """Up to 1 MiB comes inline, more in a file of the scratch directory."""
    size = 1024 * 1024 - 2
    _, _, result, path = host.end_of(host.run("large", size))
    assert (len(result), path) == (size + 2, "")
    _, _, result, path = host.end_of(host.run("large", size + 1))
    assert result == b"null"
    assert Path(path).parent == host.scratch
    assert len(json.loads(Path(path).read_bytes())) == size + 1


def test_frames_may_come_in_pieces(host: WorkerHost) -> None:
    """A frame holds several messages in the mode `async`, and arrives as the socket likes."""
    count = 20 if host.kind.mode == "async" else 1
    messages = [host.message("echo", number, "x" * 1000) for number in range(count)]
    host.send(*messages, pieces=7)
    assert [host.result_of(message[1])[0] for message in messages] == list(range(count))


def test_further_members_of_a_message_are_ignored(host: WorkerHost) -> None:
    """A newer runner may say more than the host knows."""
    message = [*host.message("echo", 1), {}, 0, False, [], "x=y", "user=u1", "something new", None]
    host.send(message)
    assert host.result_of(message[1]) == [1]


def test_a_request_is_answered_by_its_number(host: WorkerHost) -> None:
    """A child is made, its result asked for, and the function goes on with the value."""
    number = host.run("relay", {"deep": [1]})
    made = host.next(lambda message: message[0] == "do")
    kind, _, _, function, ((args, _),), *_ = made[3]
    assert (made[1], kind, function, json.loads(args)) == (number, "call_children", "echo", [{"deep": [1]}])
    host.send(["answer", number, made[2], json.dumps([EXECUTION]).encode(), "", ""])
    ask = host.next(lambda message: message[0] == "ask")
    assert (ask[1], ask[3], ask[4], json.loads(ask[5])["timeout"]) == (number, "result", EXECUTION, None)
    host.send(["answer", number, ask[2], b'["done"]', "", ""])
    assert host.result_of(number) == ["done"]


def test_a_refused_request_fails_who_made_it(host: WorkerHost) -> None:
    """The sentence of the refusal is the message of the error, unless user code catches it."""
    number = host.run("relay", 1)
    made = host.next(lambda message: message[0] == "do")
    host.send(["answer", number, made[2], b"null", "unknown_function", "No runner has declared a function 'echo'."])
    end = host.end_of(number)
    assert end[0] == "raised"
    assert "No runner has declared" in end[4]


def test_who_is_asked_to_stop_can_end(host: WorkerHost) -> None:
    """The attempt ends, and the process goes on to the next."""
    number = host.run("endless")
    until(lambda: ("stdout", "waiting") in host.lines_of(number))
    if host.kind.mode == "async":
        # It runs beside others.
        assert host.result_of(host.run("echo", "beside")) == ["beside"]
    host.ask_to_stop(number)
    assert host.end_of(number)[0] == "raised"
    assert host.result_of(host.run("echo", "after")) == ["after"]


def test_who_holds_the_process_is_marked(own: WorkerHost) -> None:
    """While one attempt computes and lets nobody else run, the marker names it; while nobody does, it is zero."""
    own.setup()
    if own.kind.mode == "sync":
        # One at a time: there is nobody else to tell it from.
        assert own.result_of(own.run("echo")) == []
        assert own.holder() == 0
        return
    own.run("endless")
    assert own.result_of(own.run("echo")) == []
    until(lambda: own.holder() == 0)
    number = own.run("deaf")
    until(lambda: own.holder() == number)


def test_what_was_said_before_a_death_arrives(own: WorkerHost) -> None:
    """A function that ends its process leaves its lines and no end of the attempt."""
    own.setup()
    number = own.run("die")
    own.until_closed()
    assert own.process.wait(10) == 3
    assert ("stdout", "dying") in own.lines_of(number)
    assert not [message for message in own.received if message[0] in ("returned", "raised")]


def test_the_host_ends_with_its_socket(own: WorkerHost) -> None:
    """Nobody is left behind when the runner goes."""
    own.setup()
    own.close()
    assert own.process.wait(10) == 0
