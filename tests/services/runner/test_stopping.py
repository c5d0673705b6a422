"""Cancelling what runs, and what goes down with it."""

import asyncio
import os
from pathlib import Path

import pytest

from eventually import eventually
from penstock.domain.execution.commands import RequestCancel
from penstock.handle import handle
from penstock.jetstream.inbox import Hints
from penstock.service.lifecycle import system_clock
from runner_bench import Bench, StartRunner

APP = "isolated_app:app"


async def cancel(bench: Bench, execution: str, force: bool = False) -> None:
    """As the door does it: the fact, and a hint so that the runner need not find it."""
    handled = await handle(bench.log, execution, RequestCancel(force=force), system_clock, lambda: 0.5)
    await Hints(bench.connection, bench.names).cancel(handled.state.owner, execution)


async def begun(journal: Path, lines: int = 1) -> list[str]:
    """The lines of the journal, once there are as many."""
    await eventually(lambda: journal.exists() and len(journal.read_text().split()) >= lines)
    return journal.read_text().split()


async def under_way(bench: Bench, start_runner: StartRunner, tmp_path: Path, function: str) -> tuple[str, Path]:
    """An execution of the function, which has begun to write its journal."""
    await start_runner(APP)
    journal = tmp_path / "journal"
    execution = await bench.enqueue(function, str(journal))
    await begun(journal)
    return execution, journal


def is_running(pid: str) -> bool:
    """A dead process that nobody has waited for does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("function", ["cleans_up", "cleans_up_sync"])
async def test_a_cancelled_function_may_clean_up(
    bench: Bench, start_runner: StartRunner, tmp_path: Path, function: str
) -> None:
    """It is `cancelling` meanwhile, and `cancelled` when it is done."""
    execution, journal = await under_way(bench, start_runner, tmp_path, function)
    await cancel(bench, execution)
    assert (await bench.final(execution)).state == "cancelled"
    assert await bench.kinds(execution) == ["Enqueued", "Started", "CancelRequested", "Cancelled"]
    assert journal.read_text().split() == ["begun", "cleaned"]


@pytest.mark.parametrize("function", ["steps_on_leaving", "steps_on_leaving_sync"])
async def test_a_function_that_leaves_for_a_wait_runs_no_step(
    bench: Bench, start_runner: StartRunner, tmp_path: Path, function: str
) -> None:
    """What cleans up in it has not been come to; it leaves all the same."""
    await start_runner(APP)
    journal = tmp_path / "journal"
    execution = await bench.enqueue(function, str(journal))
    assert await begun(journal, 2) == ["begun", "left"]
    assert await bench.kinds(execution) == ["Enqueued", "Started", "WaitOpened"]


async def test_a_forced_cancel_leaves_no_time(bench: Bench, start_runner: StartRunner, tmp_path: Path) -> None:
    """Nothing is cleaned up, also when somebody asked politely before."""
    execution, journal = await under_way(bench, start_runner, tmp_path, "cleans_up_sync")
    await cancel(bench, execution, force=True)
    assert (await bench.final(execution)).state == "cancelled"
    assert journal.read_text().split() == ["begun"]


async def test_what_does_not_listen_is_killed_after_the_grace(
    bench: Bench, start_runner: StartRunner, tmp_path: Path
) -> None:
    """It was asked first."""
    execution, journal = await under_way(bench, start_runner, tmp_path, "stubborn")
    await cancel(bench, execution)
    assert (await bench.final(execution)).state == "cancelled"
    assert journal.read_text().split() == ["begun", "asked"]


async def test_a_finish_that_races_with_a_cancel_settles_one_way(
    bench: Bench, start_runner: StartRunner, tmp_path: Path
) -> None:
    """Work that was done all the same counts; nothing follows it."""
    execution, _ = await under_way(bench, start_runner, tmp_path, "finishes_anyway")
    await cancel(bench, execution)
    assert await bench.result(execution) == "finished"
    assert await bench.kinds(execution) == ["Enqueued", "Started", "CancelRequested", "Succeeded"]


@pytest.mark.parametrize("function", ["with_others", "with_others_async"])
async def test_processes_of_user_code_end_with_a_cancelled_attempt(
    bench: Bench, start_runner: StartRunner, tmp_path: Path, function: str
) -> None:
    """Its child, one in a session of its own, one without an environment, and one whose parent has gone."""
    await start_runner(APP)
    journal = tmp_path / "journal"
    execution = await bench.enqueue(function, str(journal))
    others = await begun(journal, 4)
    await asyncio.gather(*(eventually(lambda pid=pid: is_running(pid)) for pid in others))
    await cancel(bench, execution, force=True)
    assert (await bench.final(execution)).state == "cancelled"
    assert [pid for pid in others if is_running(pid)] == []


async def test_processes_of_user_code_end_with_a_crash(bench: Bench, start_runner: StartRunner, tmp_path: Path) -> None:
    """Those of its group, and those that can be told by their environment; the one that has neither is let go."""
    await start_runner(APP)
    journal = tmp_path / "journal"
    execution = await bench.enqueue("crashes_with_others", str(journal))
    state = await bench.final(execution)
    assert state.error is not None
    assert state.error.code == "crashed"
    child, apart, bare, daemon = journal.read_text().split()
    assert [pid for pid in (child, apart, daemon) if is_running(pid)] == []
    os.kill(int(bare), 9)


async def test_a_function_says_how_many_losses_it_may_have(bench: Bench, start_runner: StartRunner) -> None:
    """One crash, and no second attempt."""
    await start_runner(APP)
    execution = await bench.enqueue("crashes_at_once")
    state = await bench.final(execution)
    assert (state.losses, state.failures, state.attempt) == (1, 0, 1)
    assert await bench.kinds(execution) == ["Enqueued", "Started", "AttemptLost", "Failed"]
