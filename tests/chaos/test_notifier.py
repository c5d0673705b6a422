"""The notifier killed at random while it tells: nothing is lost, and each kill repeats at most the one in flight."""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from penstock_process import Penstock, until
from services.notifier.receivers import Got, HttpReceiver, Reply

KILLS = 4
FAILURES = 120

CONFIG = """
[channels.ops]
type = "webhook"
url = "{url}"
secrets = ["env:OPS_SECRET"]

[rules.each]
channels = ["ops"]
on = ["failed"]
group = false
"""


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_killed_at_random_it_tells_every_failure(tmp_path: Path) -> None:
    """With real processes, a receiver that takes its time, and failures that go on meanwhile."""
    dice = random.Random(int(os.environ.get("CHAOS_SEED", "1")))

    def slowly(got: Got) -> Reply:
        time.sleep(0.02)
        return Reply(204)

    receiver = HttpReceiver(slowly)
    (tmp_path / "notify.toml").write_text(CONFIG.format(url=receiver.url))
    product = Penstock(
        tmp_path, PENSTOCK_NOTIFY_CONFIG=str(tmp_path / "notify.toml"), PENSTOCK_EGRESS_ALLOW="127.0.0.1",
        OPS_SECRET="whsec_" + "c2VjcmV0" * 5,
    )  # fmt: skip
    try:
        product.start()
        key = (product.data / "api-key").read_text().strip()
        client = httpx2.Client(
            base_url=f"http://127.0.0.1:{product.http_port}", headers={"Authorization": f"Bearer {key}"}
        )
        for _ in range(KILLS):
            _fail(client, FAILURES // KILLS)
            told = len(receiver.got)
            until(lambda told=told: len(receiver.got) > told, 60)
            time.sleep(dice.random())
            _kill_hub(product)
        wanted = until(lambda: _failed(client), 60)
        until(lambda: len({got.json["data"]["execution"]["id"] for got in list(receiver.got)}) == wanted, 120)
    finally:
        for pid in product.processes():
            os.kill(pid, signal.SIGKILL)
        assert product.process is not None
        product.process.wait(10)
        receiver.close()
    times = Counter(receiver.ids)
    assert len(times) == wanted == FAILURES
    assert sum(times.values()) - len(times) <= KILLS
    assert max(times.values()) <= 1 + KILLS


def _fail(client: httpx2.Client, count: int) -> None:
    """Start so many executions that fail, however often the door has to be knocked at."""

    def accepted() -> bool:
        try:
            body = {"items": [{"options": {"idempotency_key": f"{count} {at}"}} for at in keys]}
            answer = client.post("/v1/functions/fail/executions/batch", json=body)
        except httpx2.HTTPError:
            return False
        return answer.status_code == 207 and all(each["status"] == 202 for each in answer.json()["data"])

    keys = [f"{time.monotonic_ns()}-{number}" for number in range(count)]
    until(accepted, 60)


def _failed(client: httpx2.Client) -> int:
    """How many have failed, once all have."""
    try:
        found = client.get("/v1/executions", params={"state": "failed", "limit": "500"}).json()["data"]
    except (httpx2.HTTPError, KeyError, ValueError):
        return 0
    return len(found) if len(found) >= FAILURES else 0


def _kill_hub(product: Penstock) -> None:
    """The process that the notifier shares with other services."""
    hubs = [pid for pid, command in product.processes().items() if "notifier" in command]
    assert hubs
    for pid in hubs:
        os.kill(pid, signal.SIGKILL)
