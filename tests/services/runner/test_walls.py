"""What user code cannot reach, although it runs as the same user as the services."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from penstock.service import kernel
from penstock.service.settings import Settings
from penstock_runner.workers.environment import hidden_paths
from runner_bench import Bench, StartRunner

APP = "isolated_app:app"
needs_landlock = pytest.mark.skipif(
    kernel.landlock_version() < kernel.LANDLOCK_VERSION_MIN, reason="this kernel has no Landlock (Linux 5.19)"
)

TRIES_A_MOUNT_TABLE = """
from penstock.service import kernel
try:
    kernel.own_mounts()
except OSError:
    raise SystemExit(1)
"""


@pytest.fixture
async def needs_mounts() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", TRIES_A_MOUNT_TABLE)
    if await process.wait() != 0:
        pytest.skip("this system allows no mount table of one's own (user namespaces)")


def secrets(directory: Path) -> Path:
    """A data directory with a key in it."""
    directory.mkdir()
    (directory / "api-key").write_text("secret")
    return directory


@pytest.mark.usefixtures("needs_mounts")
async def test_user_code_does_not_see_the_data_directory(
    bench: Bench, start_runner: StartRunner, tmp_path: Path
) -> None:
    """Neither by its name nor through another process, and also not what is made there later."""
    data = secrets(tmp_path / "data")
    await start_runner(APP, data_dir=str(data))
    (data / "later").write_text("secret")
    paths = [f"{root}{data}/{name}" for root in ("", f"/proc/{os.getpid()}/root") for name in ("api-key", "later")]
    found = await bench.result(await bench.enqueue("looks_around", paths, os.getpid()))
    assert "secret" not in found.values()


@needs_landlock
async def test_user_code_does_not_reach_the_processes_of_the_services(bench: Bench, start_runner: StartRunner) -> None:
    """Environment, memory and open files; on newer kernels it cannot even send a signal."""
    await start_runner(APP)
    paths = [f"/proc/{os.getpid()}/{name}" for name in ("environ", "mem", "cwd/pyproject.toml")]
    found = await bench.result(await bench.enqueue("looks_around", paths, os.getpid()))
    assert {found[path] for path in paths} == {"PermissionError"}
    if kernel.landlock_version() >= 6:
        assert found["signal"] == "PermissionError"


@pytest.mark.parametrize("isolate", [True, False])
async def test_user_code_works_as_ever(bench: Bench, start_runner: StartRunner, tmp_path: Path, isolate: bool) -> None:
    """It starts processes and moves files, with walls and without."""
    await start_runner(APP, data_dir=str(secrets(tmp_path / "data")), isolate=isolate)
    assert await bench.result(await bench.enqueue("works_as_ever", str(tmp_path))) == [-9, "text"]


async def test_without_walls_everything_is_in_sight(bench: Bench, start_runner: StartRunner, tmp_path: Path) -> None:
    """Whoever sets PENSTOCK_ISOLATE=false has said so."""
    key = str(secrets(tmp_path / "data") / "api-key")
    await start_runner(APP, data_dir=str(tmp_path / "data"), isolate=False)
    assert (await bench.result(await bench.enqueue("looks_around", [key], os.getpid())))[key] == "secret"


async def test_user_code_lives_in_utc(bench: Bench, start_runner: StartRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the service runs; so do the programs that it starts."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    await start_runner(APP)
    assert await bench.result(await bench.enqueue("time_zone")) == ["UTC", "UTC", "UTC"]


def test_a_data_directory_around_the_program_hides_only_its_secrets(tmp_path: Path) -> None:
    """Otherwise there would be no program."""
    assert hidden_paths(Settings(data_dir=str(tmp_path))) == [str(tmp_path)]
    around = str(Path.cwd())
    names = {Path(path).name for path in hidden_paths(Settings(data_dir=around))}
    assert names == {"api-key", "signing-key", "nats.json", "nats.conf"}


def test_a_credentials_file_is_hidden(tmp_path: Path) -> None:
    """Wherever it is."""
    file = str(tmp_path / "user.creds")
    assert file in hidden_paths(Settings(data_dir=str(tmp_path / "data"), nats_credentials=file))
