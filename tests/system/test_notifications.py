"""The promise to people: what failed is told where they are, with a link from which it can be run again."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penstock_process import APP, Penstock, until
from services.notifier.receivers import HttpReceiver, Reply, Slack

HANG = """

@app.function
def hang() -> None:
    time.sleep(60)
"""
CONFIG = """
[channels.team]
type = "slack"
token = "env:SLACK_TOKEN"
channel = "#alerts"
api = "{slack}/api"

[channels.ops]
type = "webhook"
url = "{ops}/hook"
secrets = ["file:{secret}"]

[rules.failures]
channels = ["team"]

[rules.each]
channels = ["ops"]
on = ["failed"]
group = false

[rules.lag]
channels = ["ops"]
view_lag = "1m"
"""


@pytest.fixture(scope="module")
def slack() -> Slack:
    return Slack()


@pytest.fixture(scope="module")
def ops() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, slack: Slack, ops: HttpReceiver) -> Iterator[Penstock]:
    """`penstock up` with channels."""
    folder: Path = tmp_path_factory.mktemp("told")
    (folder / "secret").write_text("whsec_" + "c2VjcmV0" * 5)
    api = HttpReceiver(slack.reply)
    config = folder / "notify.toml"
    config.write_text(CONFIG.format(slack=api.url, ops=ops.url, secret=folder / "secret"))
    product = Penstock(
        folder, SLACK_TOKEN="xoxb-secret", PENSTOCK_NOTIFY_CONFIG=str(config), PENSTOCK_EGRESS_ALLOW="127.0.0.1",
        PENSTOCK_LOG_FORMAT="json", PENSTOCK_LOG_LEVEL="info",
    )  # fmt: skip
    (folder / "shop.py").write_text(APP + HANG)
    try:
        product.start()
        yield product
    finally:
        for pid in product.processes():
            os.kill(pid, signal.SIGKILL)
        assert product.process is not None
        product.process.wait(10)
        api.close()


def test_a_failure_reaches_slack_with_a_link_from_which_it_is_run_again(product: Penstock, slack: Slack) -> None:
    """Without a session the key is asked for once; then one click makes the new execution."""
    execution_id = product.json("call", "fail")["id"]
    (message,) = until(lambda: list(slack.messages.values()))
    link = message["blocks"][-1]["elements"][0]["url"]
    assert link.endswith(f"/executions/{execution_id}")
    key = (product.data / "api-key").read_text().strip()
    with httpx2.Client(follow_redirects=True) as browser:
        assert "again" in browser.get(link).text
        assert "API key" in browser.get(f"{link}?again").text
        page = browser.post(httpx2.URL(link).join("/session"), data={"key": key, "next": f"/executions/{execution_id}"})
        assert "out of luck" in page.text
        fields = dict(re.findall(r'name="(mark|once)" value="([0-9a-f]+)"', page.text))
        again = browser.post(f"{link}/rerun", data=fields)
    new_id = again.url.path.rsplit("/", 1)[1]
    assert new_id != execution_id
    shown: dict[str, Any] = product.json("executions", "show", new_id)
    assert shown["rerun_of"] == execution_id


def test_the_delivery_log_is_listed_and_replayed(product: Penstock, ops: HttpReceiver) -> None:
    """The replay has the same id; and no secret is shown anywhere."""
    notification = until(lambda: ops.ids)[0]
    answer = product.json("notifications", "replay", notification, "--channel", "ops")
    assert answer["channels"] == ["ops"]
    until(lambda: ops.ids.count(notification) == 2)
    listed = product.run("notifications", "list", "--rule", "each")
    assert "HTTP 200" in listed.stdout
    shown = listed.stdout + product.run("config").stdout + product.err.read_text()
    assert "xoxb-secret" not in shown
    assert "c2VjcmV0" not in shown


def test_a_rule_is_tried_on_the_past_without_sending_anything(product: Penstock, ops: HttpReceiver) -> None:
    """It tells what it would have told."""
    before = len(ops.got)
    trial = product.json("notifications", "replay", "--rule", "failures", "--since", "1h")
    assert [each["about"] for each in trial["data"]] == ["failed"]
    assert len(ops.got) == before


def _lines(product: Penstock, event: str) -> list[dict[str, Any]]:
    """The lines of this event so far."""
    written = [json.loads(line) for line in product.err.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in written if line["event"] == event]


def test_every_line_about_an_execution_carries_its_ids(product: Penstock, ops: HttpReceiver) -> None:
    """Code that fails, a webhook that is refused, a runner that is killed: all in lines of JSON, and no secret."""
    ops.reply = lambda _: Reply(500)
    trace = f"{0xABC:032x}"
    with httpx2.Client(headers={"authorization": f"Bearer {(product.data / 'api-key').read_text().strip()}"}) as client:
        url = f"http://127.0.0.1:{product.http_port}/v1/functions/fail/executions"
        failing = client.post(url, json={}, headers={"traceparent": f"00-{trace}-{1:016x}-01"}).json()["id"]
        running = client.post(url.replace("/fail/", "/hang/"), json={}).json()["id"]
    until(lambda: any(line["execution"] == failing for line in _lines(product, "notification_refused")))
    until(lambda: product.json("executions", "show", running)["state"] == "running")
    (runner,) = (pid for pid, command in product.processes().items() if " serve runner " in command)
    os.kill(runner, signal.SIGKILL)
    (lost,) = until(lambda: _lines(product, "attempt_lost"))
    assert (lost["execution"], lost["trace_id"], lost["function"]) == (running, running, "hang")
    for event in ("attempt_failed", "notification_refused"):
        line = next(line for line in _lines(product, event) if line["execution"] == failing)
        assert (line["trace_id"], line["function"]) == (trace, "fail")
    text = product.err.read_text()
    assert all({"event", "level", "timestamp", "process"} <= json.loads(line).keys() for line in text.splitlines())
    for line in map(json.loads, text.splitlines()):
        assert "execution" not in line or "trace_id" in line, line
    assert "xoxb-secret" not in text
    assert "out of luck" not in text, "what user code says is its own affair"


def test_a_wrong_configuration_is_refused_with_its_line(tmp_path: Path) -> None:
    """`penstock up` says the file and the line instead of starting without notifications."""
    (tmp_path / "notify.toml").write_text("[rules.all]\nchannels = ['nowhere']\n")
    product = Penstock(tmp_path, PENSTOCK_NOTIFY_CONFIG=str(tmp_path / "notify.toml"))
    done = product.run("up", "shop:app", within=60)
    assert done.returncode == 1
    assert "line 2" in done.stderr
    assert "there is no such channel" in done.stderr
