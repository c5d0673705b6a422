"""The published npm packages that tests run against the product, installed once for a test session."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCENARIOS = Path(__file__).parent / "system" / "defer"
CONTACTS = Path(__file__).parents[1] / "libs/penstock/examples/javascript/contacts"
CLIENTS = {"v1": "1.15.0", "v2": "2.3.0"}

needs_npm = [
    pytest.mark.node,
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")),
        reason="Node.js with npm is not installed: apt-get install nodejs npm",
    ),
]


def install_clients(home: Path) -> None:
    """A folder for each version of @defer/client, with the scenarios and the functions that they call."""
    # The parts for Next.js look for react.
    wanted = [f"{name}@npm:@defer/client@{version}" for name, version in CLIENTS.items()] + ["react@18"]
    (home / "package.json").write_text('{"name": "clients", "version": "1.0.0", "private": true}')
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *wanted]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"npm could not install @defer/client: {done.stdout}{done.stderr}"
    shutil.copy(SCENARIOS / "scenarios.cjs", home)
    for name in CLIENTS:
        folder = home / name
        shutil.copytree(SCENARIOS / "functions", folder / "defer")
        shutil.copytree(CONTACTS, folder / "defer", dirs_exist_ok=True)
        shutil.copy(SCENARIOS / f"{name}.cjs", folder / "scenarios.cjs")
        package = folder / "node_modules" / "@defer"
        package.mkdir(parents=True)
        (package / "client").symlink_to(home / "node_modules" / name)


def run_scenarios(folder: Path, url: str, token: str) -> dict[str, Any]:
    """What each scenario came to. Nothing but the two variables of Defer is set, as its users would."""
    environment = {"PATH": os.environ["PATH"], "DEFER_ENDPOINT": url, "DEFER_TOKEN": token}
    done = subprocess.run(
        ["node", "scenarios.cjs"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers
