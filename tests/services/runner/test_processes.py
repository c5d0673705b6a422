"""Processes of plain functions, when they are slow to start and when they die."""

import os
import shutil
from pathlib import Path

import pytest

from eventually import eventually
from runner_bench import HERE, Bench, StartRunner

CRASHES = 5


@pytest.fixture
def folder(tmp_path: Path, start_runner: StartRunner, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the app is, and the files that hold it back."""
    shutil.copy(HERE / "late_app.py", tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    return tmp_path


def workers() -> int:
    """Worker processes of this test's runner."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return sum(len((task / "children").read_text().split()) for task in tasks)


async def test_an_attempt_begins_when_there_is_a_process_for_it(
    bench: Bench, start_runner: StartRunner, folder: Path
) -> None:
    """What the machine needs to start one is time in the queue, and no time-out counts it."""
    await start_runner("late_app:app")
    execution = await bench.enqueue("work")
    await eventually((folder / "loading").exists)
    await eventually(lambda: taken(bench))
    assert await bench.kinds(execution) == ["Enqueued"]
    (folder / "go").touch()
    assert await bench.result(execution) == "done"


async def taken(bench: Bench) -> bool:
    """Whether a runner has the item."""
    info = await bench.connection.js.consumer_info(bench.names.executions, bench.names.runner_consumer("work"))
    return info.num_ack_pending == 1


async def test_crashes_leave_no_more_processes_than_before(
    bench: Bench, start_runner: StartRunner, folder: Path
) -> None:
    """One that died is replaced once, also when somebody waits for it."""
    (folder / "go").touch()
    before = workers()
    await start_runner("late_app:app", async_processes=1, sync_processes=2)
    assert await bench.result(await bench.enqueue("work")) == "done"
    for execution in [await bench.enqueue("crash") for _ in range(CRASHES)]:
        state = await bench.final(execution)
        assert state.error is not None
        assert state.error.code == "crashed"
    assert await bench.result(await bench.enqueue("work")) == "done"
    await eventually(lambda: workers() == before + 3)
