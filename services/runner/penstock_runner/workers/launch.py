"""Becomes a host that cannot confine itself, such as Node: behind walls, bound to its runner, dumping no core.

Started as `python -m penstock_runner.workers.launch PROGRAM... SOCKET MARKER RUNNER`.
"""

import os
import sys

from penstock_runner.workers.confine import die_with, no_core_dumps, usual_signals
from penstock_runner.workers.hosts import HIDDEN
from penstock_runner.workers.walls import build


def main() -> None:
    """Replace this process by the program; all of these settings outlive that."""
    command = sys.argv[1:]
    hidden = os.environ.pop(HIDDEN, None)
    missing = build(hidden.split(os.pathsep)) if hidden is not None else []
    if missing:
        print(f"JavaScript functions are not kept from the {' and '.join(missing)} of the services.", file=sys.stderr)
    die_with(int(command[-1]))
    no_core_dumps()
    usual_signals()
    os.execv(command[0], command)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()
