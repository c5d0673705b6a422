"""A Penstock with a folder of JavaScript beside an app, and what the README says about it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penstock_process import COMMAND, Penstock, penstock, until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "libs/penstock/examples/javascript"

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed: apt-get install nodejs"),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """`penstock up APP --node FOLDER`, with the examples and the functions of the README in app and folder."""
    home = tmp_path_factory.mktemp("both")
    folder = home / "functions"
    shutil.copytree(EXAMPLES / "contacts", folder)
    for path in (EXAMPLES / "netlify").glob("*.*js"):
        shutil.copy(path, folder)
    readme = (ROOT / "README.md").read_text()
    (folder / "greet.js").write_text(block(readme, "js", "defer(greet"))
    (home / "readme.py").write_text(f"from shop import app\n\n\n{block(readme, 'python', 'resize-background')}")
    with penstock(home, "readme:app", "--node", str(folder)) as running:
        yield running


def block(text: str, language: str, marker: str) -> str:
    """The only block of code in that language which has the marker in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (found,) = [each for each in blocks if marker in each]
    return str(found)


@pytest.fixture(scope="module")
def api(both: Penstock) -> Iterator[httpx2.Client]:
    """Its API, which is quicker to ask than a command is to start."""
    key = (both.data / "api-key").read_text().strip()
    url = f"http://127.0.0.1:{both.http_port}/v1"
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client


def run(api: httpx2.Client, function: str, *args: Any) -> str:
    """An execution that has ended; its id."""
    made = api.post(f"/functions/{function}/executions", json={"args": args})
    assert made.status_code == 202, made.text
    api.get(f"/executions/{made.json()['id']}/result", headers={"Prefer": "wait=20"})
    return str(made.json()["id"])


def result(api: httpx2.Client, execution: str) -> Any:
    answer = api.get(f"/executions/{execution}/result")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_function_of_the_readme_runs_beside_an_app(api: httpx2.Client) -> None:
    """Both are found, and both run."""
    assert result(api, run(api, "greet", "Ada")) == "Hello, Ada"
    assert result(api, run(api, "add", 1, 2)) == 3
    (found,) = [each for each in api.get("/functions").json()["data"] if each["name"] == "greet"]
    assert (found["concurrency"], found["timeout"], found["retries"]) == (10, 60, 5)


def test_an_import_starts_one_execution_per_contact(api: httpx2.Client) -> None:
    """They are its children, with metadata; the one that cannot work is tried again and fails."""
    made = run(api, "importContacts", "Ada,ada@example.org\nBob,nowhere")
    found = {"parent_id": made, "state": "failed"}
    (failed,) = until(lambda: api.get("/executions", params=found).json()["data"])
    assert (failed["attempt"], failed["error"]["message"]) == (2, "Bob has no usable address: nowhere")
    children = api.get("/executions", params={"parent_id": made}).json()["data"]
    assert sorted(child["metadata"]["contact"] for child in children) == ["Ada", "Bob"]
    assert sorted(result(api, made)) == sorted(child["id"] for child in children)


def test_a_function_waits_for_another(api: httpx2.Client) -> None:
    """`awaitResult` gives the result of the child."""
    made = run(api, "countLetters", {"name": "Ada", "email": "ada@example.org"})
    assert result(api, made) == len("Dear Ada,\nwelcome aboard.")


def test_a_cron_function_is_a_schedule(api: httpx2.Client) -> None:
    """Under its own name."""
    (schedule,) = api.get("/schedules").json()["data"]
    assert (schedule["key"], schedule["cron"]) == ("nightlyCleanUp", "0 2 * * *")


@pytest.mark.parametrize(("name", "body"), [("signup-background", '{"name": "Ada"}'), ("report", '{"rows": [1, 2]}')])
def test_a_netlify_function_takes_an_event(api: httpx2.Client, name: str, body: str) -> None:
    """The older form and the newer one; what they return is thrown away."""
    made = run(api, name, {"body": body, "headers": {"x-nf-request-id": "r1"}})
    assert result(api, made) is None
    lines = until(lambda: api.get(f"/executions/{made}/logs").json()["data"])
    texts = [line["text"] for line in lines]
    assert any(f"POST /.netlify/functions/{name}" in text and "request r1" in text for text in texts)


def post(api: httpx2.Client, name: str, body: Any) -> str:
    """Start a background function at Netlify's address; the id of its execution."""
    answer = api.post(str(api.base_url.join(f"/.netlify/functions/{name}")), json=body)
    assert (answer.status_code, answer.content) == (202, b"")
    return answer.headers["x-nf-request-id"]


@pytest.mark.parametrize(("name", "body"), [("signup-background", {"name": "Ada"}), ("report", {"rows": [1, 2]})])
def test_a_netlify_function_is_started_at_its_address(api: httpx2.Client, name: str, body: Any) -> None:
    """By the end of its name or by its configuration; it sees the request id that the caller got."""
    made = post(api, name, body)
    api.get(f"/executions/{made}/result", headers={"Prefer": "wait=20"})
    assert result(api, made) is None
    lines = until(lambda: api.get(f"/executions/{made}/logs").json()["data"])
    assert any(f"POST /.netlify/functions/{name}" in line["text"] and made in line["text"] for line in lines)


def test_a_netlify_function_that_throws_is_tried_again_in_a_minute(api: httpx2.Client) -> None:
    """As its platform does it."""
    made = post(api, "signup-background", {"name": ""})
    shown = until(lambda: (each := api.get(f"/executions/{made}").json())["state"] == "retrying" and each)
    instants = [datetime.fromisoformat(shown[member]) for member in ("updated_at", "scheduled_at")]
    assert (instants[1] - instants[0]).total_seconds() == 60
    assert shown["error"]["message"] == "A sign-up needs a name."


def test_a_netlify_function_may_be_python(api: httpx2.Client) -> None:
    """That of the README; the event is its one argument."""
    made = post(api, "resize-background/small", {"name": "a.jpg"})
    lines = until(lambda: api.get(f"/executions/{made}/logs").json()["data"])
    assert lines[0]["text"] == 'POST /.netlify/functions/resize-background/small: {"name":"a.jpg"}'


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_guide_calls_with_curl(both: Penstock, tmp_path: Path) -> None:
    """The command of the guide answers as it says."""
    (tmp_path / ".penstock").mkdir()
    shutil.copy(both.data / "api-key", tmp_path / ".penstock")
    command = block((ROOT / "infra/migration.md").read_text(), "sh", "curl -i").replace(":8700", f":{both.http_port}")
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True)
    head, _, body = done.stdout.partition("\n\n")
    assert head.startswith("HTTP/1.1 202")
    assert (re.search(r"^x-nf-request-id: [0-9a-f]{32}$", head, re.MULTILINE) is not None, body) == (True, "")


def test_a_function_that_is_no_background_function_has_no_address(api: httpx2.Client) -> None:
    """Those of Defer, of Python, and of Netlify without the mark."""
    for name in ("greet", "add", "nowhere-background"):
        answer = api.post(str(api.base_url.join(f"/.netlify/functions/{name}")))
        assert (answer.status_code, answer.text) == (404, "Function not found...")


def test_a_folder_runs_alone_against_what_is_up(both: Penstock, api: httpx2.Client, tmp_path: Path) -> None:
    """`penstock run --node` brings its functions to a Penstock that does not know them yet."""
    (tmp_path / "late.mjs").write_text(
        'import { defer } from "@defer/client";\nexport default defer(async function late() { return "here"; });\n'
    )
    runner = subprocess.Popen(
        [*COMMAND, "run", "--node", str(tmp_path)], cwd=both.folder, env=both.environment, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert runner.stderr is not None
        assert "ready: runner" in runner.stderr.readline()
        until(lambda: "late" in {each["name"] for each in api.get("/functions").json()["data"]})
        assert result(api, run(api, "late")) == "here"
    finally:
        runner.terminate()
        runner.communicate(timeout=20)


def test_run_without_anything_to_run_says_what_to_name(both: Penstock) -> None:
    """An app, a folder, or both."""
    done = both.run("run")
    assert done.returncode == 1
    assert "--node" in done.stderr
