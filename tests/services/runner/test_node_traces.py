"""Traces inside JavaScript functions, with OpenTelemetry from npm: their own spans nest below ours."""

import shutil
import subprocess
from pathlib import Path

import pytest

from npm_clients import needs_npm
from penstock.domain.trace import Carried, SpanContext
from penstock.telemetry.spans import spans_of
from runner_bench import Bench, StartRunner

pytestmark = [*needs_npm, pytest.mark.timeout(150)]

PACKAGES = ("@opentelemetry/api@1.9.0", "@opentelemetry/sdk-trace-node@1.30.1")
CALLER = SpanContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
CARRIED = Carried(CALLER, "congo=t61rcWkgMzE", "user=u1;shown,plan=pro%20plus,broken")
FILE = Path(__file__).parent / "javascript_traced" / "traced.mjs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of functions whose project has OpenTelemetry installed."""
    project = tmp_path_factory.mktemp("traced")
    (project / "package.json").write_text('{"name": "traced", "version": "1.0.0", "private": true}')
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"npm could not install OpenTelemetry: {done.stdout}{done.stderr}"
    folder = project / "functions"
    folder.mkdir()
    shutil.copy(FILE, folder)
    return folder


async def test_spans_of_javascript_nest_below_the_attempt(
    bench: Bench, start_runner: StartRunner, folder: Path
) -> None:
    """With what the caller passed on; of one attempt nothing is left for the next."""
    await start_runner("", node=str(folder))
    execution = await bench.enqueue("traced", carried=CARRIED)
    theirs = await bench.result(execution)
    (ours,) = [span for span in spans_of(await bench.log.find(execution)) if span.name == "attempt 1"]
    assert (theirs["trace"], theirs["parent"]) == (CALLER.trace_id, ours.span_id)
    assert (theirs["state"], theirs["baggage"]) == ("congo=t61rcWkgMzE", [["user", "u1"], ["plan", "pro plus"]])
    other = await bench.enqueue("traced")
    theirs = await bench.result(other)
    assert (theirs["trace"], theirs["state"], theirs["baggage"]) == (other, None, [])
