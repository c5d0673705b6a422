"""Walls around user code: no way to the files, memory and processes of the services, although it is the same user.

What is guaranteed depends on the kernel, and `build` says what it could not do. Files need a mount table of our own:
as root, or where unprivileged user namespaces are allowed. Processes need Landlock. Set-user-id programs such as
sudo do not work behind these walls.
"""

import os
from collections.abc import Callable, Sequence

from penstock.service import kernel

TELLING_CAPABILITIES = frozenset({2, 16, 17, 19, 21, 27, 38, 39, 40})
"""What root could get around the walls with: DAC_READ_SEARCH, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, MKNOD,
PERFMON, BPF, CHECKPOINT_RESTORE."""


def build(hidden: Sequence[str]) -> list[str]:
    """Hide these files and directories, and all processes but our own. Answers with what the system did not allow."""
    if not kernel.LINUX:
        return ["files", "processes"]
    missing = []
    present = [path for path in hidden if os.path.exists(path)]
    if present and not (_works(lambda: _hide(present)) and _done(lambda: _hide(present))):
        missing.append("files")
    # In the namespace of our own we have all capabilities, and could uncover what was covered.
    dropped = TELLING_CAPABILITIES if os.geteuid() == 0 else kernel.ALL_CAPABILITIES
    if not (_done(lambda: kernel.drop_capabilities(dropped)) and _done(kernel.keep_to_own_processes)):
        missing.append("processes")
    return missing


def _hide(paths: Sequence[str]) -> None:
    kernel.own_mounts()
    for path in paths:
        kernel.cover(path)


def _works(act: Callable[[], None]) -> bool:
    """Try it in a copy of this process: what fails half way must not leave us half way."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _done(act) else 1)
    return os.waitpid(pid, 0)[1] == 0


def _done(act: Callable[[], None]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True
