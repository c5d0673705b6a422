"""The process of a command: confined, with its result on descriptor 3, and then nothing but the command."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_runner.places.launch import NO_WALLS, WALLS
from penstock_runner.places.process import KIT, LAUNCH, ROOT

README = Path(__file__).parents[2] / "README.md"


def launched(
    command: list[str], given: bytes = b"", walls: str = NO_WALLS
) -> tuple[subprocess.CompletedProcess[bytes], bytes]:
    """The command as the runner starts it, and what it wrote to descriptor 3."""
    reading, writing = os.pipe()
    done = subprocess.run(
        [sys.executable, "-I", "-S", LAUNCH, ROOT, KIT, str(writing), str(os.getpid()), walls, *command],
        input=given, capture_output=True, pass_fds=(writing,), timeout=20, check=False,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        return done, file.read()


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_command_in_the_readme_does_what_it_says(tmp_path: Path) -> None:
    """It reads stdin, prints, and writes its result; without a text it ends for good."""
    section = README.read_text(encoding="utf-8").partition("## Functions in any language")[2]
    found = re.search(r"```js\n(#!.*?)```", section, re.DOTALL)
    assert found is not None
    script = tmp_path / "shout.js"
    script.write_text(found[1])
    script.chmod(0o700)
    done, result = launched([str(script)], b'{"args": ["loud"]}')
    assert (done.returncode, done.stdout, result) == (
        0, b"this line is kept with the attempt\n", b'{"shouted":"LOUD"}',
    )  # fmt: skip
    assert launched([str(script)], b'{"args": []}')[0].returncode == 65


def test_a_command_that_is_not_there_says_so() -> None:
    """With the exit code that shells use."""
    done, _ = launched(["/no/such/file"])
    assert (done.returncode, done.stderr) == (127, b"/no/such/file cannot be started: No such file or directory\n")


def test_a_file_that_is_no_program_says_so(tmp_path: Path) -> None:
    """With the other one."""
    (tmp_path / "text").write_text("no program")
    assert launched([str(tmp_path / "text")])[0].returncode == 126


def test_a_broken_pipe_ends_a_command_as_anywhere_else() -> None:
    """Python ignores that signal; what it starts must not."""
    done, _ = launched(["/bin/grep", "SigIgn", "/proc/self/status"])
    ignored = int(done.stdout.split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1))


def test_a_command_stands_behind_the_walls_of_user_code(tmp_path: Path) -> None:
    """What is hidden from worker processes is hidden from it, as far as this system allows."""
    (tmp_path / "api-key").write_text("hunter2")
    done, result = launched(["/bin/cat", str(tmp_path / "api-key")], walls=os.pathsep.join((WALLS, str(tmp_path))))
    check = [
        sys.executable,
        "-c",
        f"from penstock_runner.workers.walls import build; print(build([{str(tmp_path)!r}]))",
    ]
    missing = subprocess.run(check, capture_output=True, text=True, check=True, timeout=20).stdout
    assert ("hunter2" in done.stdout.decode()) == ("files" in missing)
    assert result == b""
