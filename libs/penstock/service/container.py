"""Whether this process runs in a container, where lines are collected by programs."""

import os
from collections.abc import Mapping
from pathlib import Path

MARKS = (".dockerenv", "run/.containerenv")
"""Files that Docker and Podman leave in each container."""

VARIABLES = ("KUBERNETES_SERVICE_HOST", "container")
"""Variables that Kubernetes, Podman and systemd-nspawn set in each container."""

LAYERED = "overlay"
"""The file system at the root of nearly all containers, whoever runs them, and of hardly anything else."""


def is_in_container(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> bool:
    """True if one of the signs is there; none of them alone is left by all runtimes."""
    if any((root / mark).exists() for mark in MARKS) or any(environ.get(name) for name in VARIABLES):
        return True
    try:
        mounts = (root / "proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(line.split()[1:3] == ["/", LAYERED] for line in mounts.splitlines())
