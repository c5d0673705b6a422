"""Directories for what attempts write down for a while: one root per runner, one below it per worker process.

A root belongs to its runner for as long as the lock in it is held. What a dead runner left behind, processes of user
code included, is cleared away by the next one that starts on the machine.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from penstock_runner.workers.descendants import end_marked

PREFIX = "penstock-scratch-"
LOCK = "lock"
YOUNG_SECONDS = 60.0
"""A root without a lock that is younger than this is being made just now."""


class ScratchRoot:
    """The directory of one runner."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix=PREFIX)
        self._lock: int | None = os.open(os.path.join(self.path, LOCK), os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        remove_tree(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear_leftovers(self) -> None:
        """Remove the roots of runners that are dead, and end what user code still runs there. It may take a while."""
        for path in _abandoned(Path(self.path).parent):
            end_marked(str(path))
            remove_tree(str(path))


def use_for_temporary_files(path: Path) -> None:
    """Make this directory, and let `tempfile` and child processes put their files there."""
    path.mkdir(0o700)
    os.environ["TMPDIR"] = str(path)
    tempfile.tempdir = None


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, also what user code made unreadable; what cannot go stays."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(path, onerror=_open_up)


def _open_up(function: Callable[..., Any], path: str, _: Any) -> None:
    """What may not be entered or changed is made accessible to us, once."""
    with suppress(OSError):
        parent = os.path.dirname(path)
        for directory in (parent, path):
            if stat.S_ISDIR(os.lstat(directory).st_mode):
                os.chmod(directory, 0o700)
        if function in (os.rmdir, os.unlink):
            function(path)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(parent: Path) -> Iterator[Path]:
    for path in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if path.stat().st_uid == os.getuid() and _is_free(path):
                yield path


def _is_free(path: Path) -> bool:
    try:
        lock = os.open(path / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return time.time() - path.stat().st_mtime > YOUNG_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
