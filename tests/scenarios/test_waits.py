"""Waiting functions in real processes: a scheduler and a runner, which may be killed at any time."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from penstock.domain.execution import facts as f
from penstock.domain.execution.commands import Enqueue, RequestCancel
from penstock.domain.execution.hooks import Hooks
from penstock.domain.ids import hook_execution_id
from penstock.handle import handle
from penstock.jetstream.connect import Connection
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.provision import provision
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.server import EmbeddedServer
from penstock.ports import Append
from penstock.service.lifecycle import system_clock
from penstock.wire.names import Names
from runner_bench import Bench

HERE = Path(__file__).parent


class Services:
    """A scheduler and a runner, each in a process of its own."""

    def __init__(self, server: EmbeddedServer, names: Names, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "PENSTOCK_ENV": names.environment,
            "PENSTOCK_NATS_URL": server.url,
            "PENSTOCK_DATA_DIR": str(folder),
            "PENSTOCK_APP": "waits_app:app",
            "PENSTOCK_HTTP_PORT": "0",
            "PENSTOCK_API_KEY": "key-of-the-test-0123456789",
            "PENSTOCK_SYNC_PROCESSES": "1",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *services: str) -> None:
        for service in services:
            with (self._folder / f"{service}.out").open("ab") as out:
                self._processes[service] = subprocess.Popen(
                    [sys.executable, "-m", "penstock.cli.main", "serve", service], env=self._environment, stdout=out,
                    stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip

    def kill(self, *services: str) -> None:
        for service in services:
            process = self._processes.pop(service)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def names(nats_server: EmbeddedServer) -> Names:
    """An environment for all tests here."""
    names = Names(f"t-{uuid.uuid4().hex[:12]}")

    async def prepare() -> None:
        connection = Connection("test")
        await connection.open(nats_server.url)
        await provision(connection, names)
        await connection.close()

    asyncio.run(prepare())
    return names


@pytest.fixture(scope="module")
def services(nats_server: EmbeddedServer, names: Names, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(nats_server, names, tmp_path_factory.mktemp("services"))
    services.start("scheduler", "runner")
    yield services
    services.kill("scheduler", "runner")


@pytest.fixture
async def bench(connection: Connection, names: Names, services: Services) -> AsyncIterator[Bench]:
    log = JetStreamLog(connection, names)
    yield Bench(connection, names, log)
    await log.close()


async def publish(bench: Bench, name: str, data: Any) -> None:
    await Publisher(bench.connection).publish(bench.names.event_subject(name), msgspec.json.encode(data))


async def cancel(bench: Bench, execution_id: str) -> None:
    await handle(bench.log, execution_id, RequestCancel(), system_clock, lambda: 0.5)


async def suspended(bench: Bench, execution_id: str) -> None:
    await bench.until(execution_id, lambda state: state.suspended)


@pytest.mark.parametrize("function", ["nap", "nap_sync"])
async def test_a_sleep_holds_no_slot_and_ends_on_time(bench: Bench, tmp_path: Path, function: str) -> None:
    """In the same attempt, with each step done once."""
    journal, seconds = str(tmp_path / "journal"), 1.0
    execution = await bench.enqueue(function, journal, seconds)
    await suspended(bench, execution)
    assert await bench.result(execution) == 1
    facts = {type(fact).__name__: fact for fact in await bench.facts(execution)}
    waited = (facts["Woken"].at - facts["WaitOpened"].at) / 1e6
    assert 0.8 < waited < seconds + 1
    assert Path(journal).read_text() == "before\nafter\n"


async def test_a_wait_survives_the_death_of_scheduler_and_runner(
    bench: Bench, services: Services, tmp_path: Path
) -> None:
    """Killed while it sleeps and while it waits for an event, which comes when nobody is there."""
    journal = str(tmp_path / "journal")
    napping = await bench.enqueue("nap", journal, 2.0)
    waiting = await bench.enqueue("approval", 1, "2m")
    parent = await bench.enqueue("generations", 0)
    for each in (napping, waiting, parent):
        await suspended(bench, each)
    services.kill("scheduler", "runner")
    await publish(bench, "doc.approved", {"doc": 1})
    child = next(iter((await bench.until(parent, lambda state: True)).children))
    await cancel(bench, child)
    services.start("scheduler", "runner")
    assert await bench.result(waiting) == ["doc.approved", {"doc": 1}]
    assert await bench.result(napping) == 1
    assert (await bench.final(parent)).state == "failed"
    assert Path(journal).read_text() == "before\nafter\n"


async def test_an_event_that_comes_before_the_wait_counts(bench: Bench, tmp_path: Path) -> None:
    """From the start of the attempt on."""
    gate = tmp_path / "gate"
    execution = await bench.enqueue("busy_first", 2, str(gate))
    await bench.until(execution, lambda state: bool(state.owner))
    await publish(bench, "doc.approved", {"doc": 2, "early": True})
    gate.touch()
    assert await bench.result(execution) == {"doc": 2, "early": True}


async def test_a_look_back_reaches_further(bench: Bench) -> None:
    """An event from before the execution was made."""
    await publish(bench, "doc.approved", {"doc": 3})
    assert await bench.result(await bench.enqueue("approval", 3, "1m", "1h")) == ["doc.approved", {"doc": 3}]


async def test_a_wait_for_an_event_times_out(bench: Bench) -> None:
    """Another event of the name does not end it."""
    execution = await bench.enqueue("approval", 4, "500ms")
    await publish(bench, "doc.approved", {"doc": 5})
    assert await bench.result(execution) is None


async def test_a_running_function_is_told_at_once(bench: Bench) -> None:
    """By a hint, well before it would look for itself."""
    execution = await bench.enqueue("both", 6)
    await bench.until(execution, lambda state: bool(state.waits))
    await publish(bench, "doc.approved", {"doc": 6})
    assert await bench.result(execution) == {"doc": 6}
    facts = {type(fact).__name__: fact for fact in await bench.facts(execution)}
    assert facts["Succeeded"].at - facts["Woken"].at < 1_000_000


async def test_children_answer_their_parent(bench: Bench) -> None:
    """One, many, and one that fails."""
    assert await bench.result(await bench.enqueue("family", 30)) == [3, 870, "user_error"]


async def test_every_parent_of_a_shared_child_gets_its_result(bench: Bench) -> None:
    """One key leads several calls to one execution, while it runs and after its end."""
    parents = [await bench.enqueue("shares", "order-7") for _ in range(3)]
    for each in parents:
        await suspended(bench, each)
    await publish(bench, "go", {"name": "slow_add"})
    parents.append(await bench.enqueue("shares", "order-7"))
    assert [await bench.result(each) for each in parents] == [3] * 4
    children = {next(iter((await bench.final(each)).children)) for each in parents}
    assert len(children) == 1


async def test_the_example_of_the_readme_does_what_it_says(bench: Bench) -> None:
    """Its text is what runs here; the hour is over when a clock says so."""
    readme = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
    example = readme[readme.index("@app.function\nasync def review(") :].partition("```")[0]
    assert example in (HERE / "waits_app.py").read_text(encoding="utf-8")
    execution = await bench.enqueue("review", "plan")
    await suspended(bench, execution)
    await bench.due(execution)
    await bench.until(execution, lambda state: any(wait.wait == "event" for wait in state.waits.values()))
    await publish(bench, "doc.approved", {"doc": "plan", "by": "ada"})
    assert await bench.result(execution) == "ada: 2 pages"


async def test_a_cancel_reaches_the_last_descendant(bench: Bench) -> None:
    """Through executions that all wait for each other."""
    execution = await bench.enqueue("generations", 2)
    line = [execution]
    for _ in range(3):
        state = await bench.until(line[-1], lambda state: state.suspended and bool(state.children))
        line.append(next(iter(state.children)))
    await suspended(bench, line[-1])
    await cancel(bench, execution)
    for each in line:
        assert (await bench.final(each)).state == "cancelled"


async def test_the_first_of_several_waits_ends_the_others(bench: Bench) -> None:
    """The child among them is cancelled."""
    execution = await bench.enqueue("first")
    state = await bench.until(execution, lambda state: state.suspended)
    await publish(bench, "doc.refused", {"why": "no"})
    assert await bench.result(execution) == [1, {"why": "no"}]
    assert (await bench.final(next(iter(state.children)))).state == "cancelled"


async def test_others_run_while_one_waits(bench: Bench, tmp_path: Path) -> None:
    """With concurrency 1 a wait lets the next one in."""
    journal = tmp_path / "journal"
    one = await bench.enqueue("one_at_a_time", "one", str(journal))
    await suspended(bench, one)
    two = await bench.enqueue("one_at_a_time", "two", str(journal))
    await suspended(bench, two)
    for name in ("two", "one"):
        await publish(bench, "go", {"name": name})
    assert [await bench.result(two), await bench.result(one)] == ["two", "one"]
    assert journal.read_text().split("\n")[:2] == ["in one", "in two"]


async def test_fifo_lets_nobody_pass_a_wait(bench: Bench, tmp_path: Path) -> None:
    """The next one starts when the one that waited has ended."""
    journal = tmp_path / "journal"
    one, two = [await gated(bench, "in_order", each, str(journal)) for each in ("one", "two")]
    await suspended(bench, one)
    await publish(bench, "go", {"name": "one"})
    await suspended(bench, two)
    await publish(bench, "go", {"name": "two"})
    assert [await bench.result(one), await bench.result(two)] == ["one", "two"]
    assert journal.read_text().split("\n") == ["in one", "out one", "in two", "out two", ""]


async def gated(bench: Bench, function: str, *args: Any) -> str:
    """As the doors make executions of functions that need admission."""
    execution_id = uuid.uuid4().hex
    fact = f.Enqueued(
        n=1, at=system_clock(), function=function, args=Raw(msgspec.json.encode(args)), gated=True,
        trace_id=execution_id,
    )  # fmt: skip
    await bench.log.append(Append(execution_id=execution_id, function=function, facts=[fact], expected=0))
    return execution_id


async def test_a_hook_runs_once_though_schedulers_die_around_the_end(bench: Bench, services: Services) -> None:
    """No scheduler is there when the execution ends; one makes the hook and is killed, another finds it made."""
    services.kill("scheduler")
    execution_id = uuid.uuid4().hex
    hooks = Hooks(on_success="mourn")
    event = Raw(b'{"id":"e","name":"n","data":{"execution":{"id":"x"}}}')
    first = f.Enqueued(n=1, at=system_clock(), function="mourn", trace_id=execution_id, hooks=hooks, event=event)
    await handle(bench.log, execution_id, Enqueue(fact=first), system_clock, lambda: 0.5, function="mourn")
    assert await bench.result(execution_id) == "x"
    hook = hook_execution_id(bench.names.environment, execution_id, 3)
    assert not await bench.log.find(hook)
    services.start("scheduler")
    assert await bench.result(hook) == execution_id
    services.kill("scheduler")
    services.start("scheduler")
    napping = await bench.enqueue("nap", os.devnull, 0.1)
    await bench.final(napping)
    assert await bench.kinds(hook) == ["Enqueued", "Started", "Succeeded"]
