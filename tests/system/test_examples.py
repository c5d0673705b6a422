"""The shipped examples on real input, and the README's ways to publish an event."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from penstock_process import Penstock, until

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def test_pictures_become_thumbnails_and_one_contact_sheet(examples: Penstock) -> None:
    """Every picture of a folder has a thumbnail with its metadata, and one sheet shows all of them."""
    folder = examples.folder / "holiday"
    _python(examples, "penstock.examples.pictures", "--sample", str(folder), "--count", "5")
    assert "5 events" in _python(examples, "penstock.examples.pictures", str(folder))
    sheet = folder / ".penstock-pictures" / "contact-sheet.jpg"
    until(sheet.exists, 40)
    facts = json.loads((folder / ".penstock-pictures/thumbnails/picture-0001.jpg.json").read_bytes())
    assert (facts["width"], facts["camera"], facts["taken"]) == (2400, "Penstock Sample 2", "2026:06:01 16:00:00")
    with Image.open(sheet) as image:
        assert image.width > 5 * 256
    sheets = until(lambda: _all(examples, "contact_sheet", "succeeded"))
    assert [each["pictures"] for each in (_result(examples, one) for one in sheets)] == [5]


def test_a_file_that_is_no_picture_fails_without_retry(examples: Penstock) -> None:
    """A broken file is told once, and does not keep the others from their sheet."""
    folder = examples.folder / "broken"
    folder.mkdir()
    (folder / "notes.jpg").write_text("this is text")
    _python(examples, "penstock.examples.pictures", str(folder))
    failed = until(lambda: _all(examples, "thumbnail", "failed"))
    assert failed[0]["attempt"] == 1
    assert "no picture" in failed[0]["error"]["message"]


def test_an_opened_issue_orders_one_reminder(examples: Penstock) -> None:
    """The payload of GitHub's webhook, delivered twice, makes one delayed execution with the issue's metadata."""
    for _ in range(2):
        _python(examples, "penstock.examples.github", "--after", "1h")
    until(lambda: len(_all(examples, "issue_opened", "succeeded")) == 2)
    reminders = _all(examples, "remind", "scheduled")
    assert [each["metadata"] for each in reminders] == [{"repository": "riverside/mill", "issue": "42"}]


def test_a_closed_issue_orders_nothing(examples: Penstock) -> None:
    """`when` looks at the payload's action."""
    payload = Path(__file__).resolve().parents[2] / "libs/penstock/examples/payloads/github-issues-closed.json"
    _python(examples, "penstock.examples.github", str(payload))
    listed = until(lambda: _events(examples, "github.issues", "unmatched"))
    assert listed


def test_the_weekly_brief_writes_one_file_per_user(examples: Penstock) -> None:
    """One child per user; each brief lists what changed in the user's folders."""
    watched = examples.folder / "watched"
    watched.mkdir()
    (watched / "report.txt").write_text("numbers")
    users = examples.folder / "users.json"
    users.write_text(json.dumps([{"name": "ada", "folders": [str(watched)]}, {"name": "bob"}]))
    arguments = json.dumps([str(users), str(examples.folder / "briefs")])
    made = examples.json("call", "weekly_brief", "--args", arguments, "--wait")
    briefs = [_final(examples, child)["result"] for child in made["result"]["executions"]]
    assert [brief["changed"] for brief in briefs] == [1, 0]
    assert "report.txt (7 bytes)".replace(" (", "  (") in Path(briefs[0]["file"]).read_text()
    children = examples.json("executions", "list", "--parent", made["id"])["data"]
    assert len(children) == 2


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_readme_publishes_with_curl(examples: Penstock) -> None:
    """Both forms in the README are accepted as they stand."""
    block = _block("sh", "--json '{")
    answers = [json.loads(line) for line in _shell(examples, block).replace("}{", "}\n{").splitlines()]
    assert [set(answer) for answer in answers] == [{"id", "sequence"}] * 2


def test_the_readme_publishes_with_plain_tcp(examples: Penstock) -> None:
    """Nothing but bash: the acknowledgement names stream and sequence."""
    answer = _shell(examples, _block("bash", "/dev/tcp"))
    assert json.loads(answer.splitlines()[-1])["stream"] == "EVENTS"


@pytest.mark.node
@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="Node.js with npm is not installed")
@pytest.mark.timeout(150)
def test_the_readme_publishes_from_node(examples: Penstock) -> None:
    """The program in the README runs with the `nats` package as npm has it."""
    folder = examples.folder / "node"
    folder.mkdir()
    subprocess.run(["npm", "install", "--silent", "nats@2"], cwd=folder, check=True, timeout=120)
    (folder / "publish.mjs").write_text(_for(examples, _block("js", "jetstream().publish")))
    done = subprocess.run(
        ["node", "publish.mjs"],
        cwd=folder,
        env=_environment(examples),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert re.fullmatch(r"stored at \d+\n", done.stdout), done.stderr


def _block(language: str, marker: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if marker in block)


def _for(product: Penstock, text: str) -> str:
    return re.sub(r"127\.0\.0\.1([:/])4222", rf"127.0.0.1\g<1>{product.nats_port}", text).replace(
        "127.0.0.1:8700", f"127.0.0.1:{product.http_port}"
    )


def _environment(product: Penstock) -> dict[str, str]:
    return {**os.environ, "KEY": (product.data / "api-key").read_text().strip()}


def _shell(product: Penstock, text: str) -> str:
    done = subprocess.run(
        ["bash", "-c", _for(product, text)],
        cwd=product.folder,
        env=_environment(product),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _python(product: Penstock, module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=product.folder,
        env=product.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _all(product: Penstock, function: str, state: str) -> list[dict]:
    return product.json("executions", "list", "--function", function, "--state", state)["data"]


def _result(product: Penstock, execution: dict) -> dict:
    return product.json("executions", "show", execution["id"])["result"]


def _final(product: Penstock, execution_id: str) -> dict:
    def look() -> dict | None:
        shown = product.json("executions", "show", execution_id)
        return shown if shown["state"] == "succeeded" else None

    return until(look)


def _events(product: Penstock, name: str, state: str) -> list[dict]:
    answer = httpx2.get(
        f"http://127.0.0.1:{product.http_port}/v1/events",
        params={"state": state},
        headers={"Authorization": f"Bearer {_environment(product)['KEY']}"},
    )
    assert answer.status_code == 200, answer.text
    return [event for event in answer.json()["data"] if event["name"] == name]
