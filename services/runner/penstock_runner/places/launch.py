"""Entry of a command's process: confine it, put the result where the command expects it, and become the command.

Started as `python -I -S launch.py ROOT KIT RESULT RUNNER WALLS COMMAND...`: where this package and `penstock` are, an
inherited descriptor, the runner's process id, and `open`, or `walls` with the paths to be hidden behind it. It imports
as little as it can, since every attempt pays for it.
"""

import os
import sys

RESULT_FD = 3
WALLS, NO_WALLS = "walls", "open"


def main() -> None:
    """Does not return."""
    root, kit, result, runner, walls, *command = sys.argv[1:]
    sys.path.append(root)
    # The package without its face, which would load the whole SDK.
    package = type(sys)("penstock")
    package.__path__ = [kit]
    sys.modules["penstock"] = package
    from penstock_runner.workers.confine import die_with, no_core_dumps, usual_signals
    from penstock_runner.workers.walls import build

    die_with(int(runner))
    no_core_dumps()
    if walls != NO_WALLS:
        build(walls.split(os.pathsep)[1:])
        # The walls may have made the kernel forget it.
        die_with(int(runner))
    usual_signals()
    if int(result) == RESULT_FD:
        os.set_inheritable(RESULT_FD, True)
    else:
        os.dup2(int(result), RESULT_FD)
        os.close(int(result))
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    main()
