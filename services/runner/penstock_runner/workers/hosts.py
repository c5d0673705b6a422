"""The programs in which user code runs: how each is started, and what it is told to load."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from penstock.jetstream.refused import StartRefused

NODE_MAJOR_MIN = 20
NODE_HOST = Path(__file__).resolve().parent.parent / "node" / "host.cjs"
VERSION_SECONDS = 10.0
HIDDEN = "PENSTOCK_HIDDEN"
"""Variable that tells the launcher which paths the program may not see; the program itself does not get it."""


class Host(msgspec.Struct, frozen=True):
    """A program that speaks the worker protocol: started as `command SOCKET MARKER RUNNER`, told to load `target`."""

    name: str
    command: tuple[str, ...]
    target: str
    environment: Mapping[str, str]


def python_host(app: str, environment: Mapping[str, str]) -> Host:
    """Functions of an app, as "module:attribute"."""
    return Host("python", (sys.executable, "-m", "penstock_runner.workers.child"), app, environment)


def node_host(folder: str, environment: Mapping[str, str], hidden: Sequence[str] | None = None) -> Host:
    """JavaScript functions of a folder, which may not see `hidden` (None: no walls around them).

    Raises StartRefused when there is no Node.js that can run them.
    """
    node = _find_node(environment)
    # Node cannot bind its life to that of its parent; the launcher can.
    launch = (sys.executable, "-m", "penstock_runner.workers.launch")
    command = (*launch, node, "--enable-source-maps", str(NODE_HOST))
    walls = {HIDDEN: os.pathsep.join(hidden)} if hidden is not None else {}
    return Host("node", command, str(Path(folder).resolve()), {**environment, **walls})


def _find_node(environment: Mapping[str, str]) -> str:
    remedy = (
        f"Install Node.js {NODE_MAJOR_MIN} or newer (on Debian: apt-get install nodejs), "
        "or start without --node and PENSTOCK_NODE."
    )
    node = shutil.which("node", path=environment.get("PATH", ""))
    if node is None:
        raise StartRefused("node_missing", "JavaScript functions need Node.js, and there is no `node` on PATH.", remedy)
    try:
        said = subprocess.run(  # noqa: S603 - the program that the operator has put on PATH
            [node, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartRefused("node_missing", f"{node} cannot be started: {error}.", remedy) from None
    major = said.removeprefix("v").partition(".")[0]
    if not major.isdigit() or int(major) < NODE_MAJOR_MIN:
        raise StartRefused("node_too_old", f"{node} is Node.js {said or '(unknown)'}.", remedy)
    return node
