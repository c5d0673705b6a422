"""The directory that each attempt has for itself, and that nothing is left of."""

import asyncio
import sys
import tempfile
from pathlib import Path

import pytest

from eventually import eventually
from penstock.jetstream.server import EmbeddedServer
from penstock_runner.workers.scratch import ScratchRoot
from runner_bench import Bench, StartRunner, runner_environment

APP = "isolated_app:app"
HERE = Path(__file__).parent


@pytest.mark.parametrize("function", ["scratch", "scratch_sync"])
async def test_each_attempt_has_a_directory_of_its_own(
    bench: Bench, start_runner: StartRunner, tmp_path: Path, function: str
) -> None:
    """Gone when it has ended; in plain functions it is also where temporary files go."""
    await start_runner(APP)
    journal = tmp_path / "journal"
    for _ in range(2):
        assert await bench.result(await bench.enqueue(function, str(journal))) is True
    used = journal.read_text().split()
    assert len(set(used)) == 2
    await eventually(lambda: not any(Path(path).exists() for path in used))


@pytest.mark.parametrize("function", ["scratch_and_crash", "scratch_and_hang"])
async def test_the_directory_goes_with_its_process(
    bench: Bench, start_runner: StartRunner, tmp_path: Path, function: str
) -> None:
    """A crash and a kill leave nothing behind."""
    await start_runner(APP)
    journal = tmp_path / "journal"
    assert (await bench.final(await bench.enqueue(function, str(journal)))).state == "failed"
    assert not Path(journal.read_text().strip()).exists()


async def test_an_async_attempt_that_does_not_ask_has_none(bench: Bench, start_runner: StartRunner) -> None:
    """It costs nothing."""
    await start_runner(APP)
    assert await bench.result(await bench.enqueue("no_scratch")) == []


async def test_the_next_runner_clears_away_what_a_dead_one_left(
    nats_server: EmbeddedServer,
    bench: Bench,
    start_runner: StartRunner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Directories, and processes that user code had started in a session of their own."""
    journal, said = tmp_path / "journal", tmp_path / "said"
    # Where no runner of a test beside this one looks for leftovers.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = (str(HERE / "runner_process.py"), nats_server.url, bench.names.environment, APP)
    with said.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdout=output,
            stderr=output,
            env={**runner_environment(), "TMPDIR": str(tmp_path)},
        )
    try:
        await eventually(lambda: b"ready" in said.read_bytes(), within=20)
        await bench.enqueue("scratch_and_wait", str(journal))
        await eventually(lambda: journal.exists() and journal.read_text())
    finally:
        process.kill()
        await process.wait()
    scratch = Path(journal.read_text().strip())
    assert scratch.is_dir()
    await start_runner(APP)
    await eventually(lambda: not scratch.parent.parent.exists())
    assert str(scratch.parent) not in _environments()


async def test_the_root_of_a_living_runner_is_left_alone() -> None:
    """Its lock says that it is in use."""
    mine, other = ScratchRoot(), ScratchRoot()
    other.clear_leftovers()
    assert Path(mine.path).exists()
    mine.remove()
    other.remove()
    assert not Path(mine.path).exists()


def _environments() -> str:
    found = b""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += path.read_bytes()
        except OSError:
            continue
    return found.decode(errors="replace")
