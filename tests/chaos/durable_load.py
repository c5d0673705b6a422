"""A client of durable functions: starts them, and sends the events, messages and answers that they wait for."""

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from chaos.checker import Trigger

FUNCTIONS = (
    *("journey", "journey", "journey_sync", "together", "expecting", "expecting", "chatty", "asking", "race", "race"),
    *("saga", "mending", "sleeper"),
)
PAUSE_SECONDS = 0.3
PATIENCE_SECONDS = 90.0
"""How long something is asked again before its outcome stays unknown."""

Accepts = Callable[[int, dict[str, Any]], bool]


class DurableLoad:
    """Threads that start executions, and for each of them one that gives it what it waits for."""

    def __init__(self, ports: list[int], key: str, seed: int, folder: Path) -> None:
        self.triggers: list[Trigger] = []
        self.messages: dict[str, str] = {}
        """Accepted messages: id -> execution."""
        self.refused: list[str] = []
        self._urls = [f"http://127.0.0.1:{port}" for port in ports]
        self._key = key
        self._seed = seed
        self._effects = folder / "effects.jsonl"
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._helpers: list[threading.Thread] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(3)]
        self._threads.append(threading.Thread(target=self._answer_tokens, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        deadline = time.monotonic() + PATIENCE_SECONDS + 15
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        for thread in self._helpers:
            thread.join(max(0.1, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in (*self._threads, *self._helpers)), "a client did not end"

    # Starting.

    def _ask(self, number: int) -> None:
        dice = random.Random(self._seed * 100 + number)
        with self._client() as client:
            count = 0
            while not self._stopping.wait(dice.uniform(0.1, 0.6)):
                count += 1
                trigger = Trigger("http", dice.choice(FUNCTIONS), f"k{number}-{count}")
                with self._lock:
                    self.triggers.append(trigger)
                self._start(client, dice, trigger)

    def _start(self, client: httpx2.Client, dice: random.Random, trigger: Trigger) -> None:
        def accepts(status: int, body: dict[str, Any]) -> bool:
            if status == 202:
                trigger.accepted = True
                trigger.ids.append(body["id"])
            return status == 202

        path = f"/v1/functions/{trigger.function}/executions"
        self._insist(client, dice, path, {"args": [trigger.key]}, accepts, {"Idempotency-Key": trigger.key})
        if trigger.function == "sleeper":
            trigger.door = "far"
        elif trigger.ids and dice.random() < 0.1:
            self._insist(client, dice, f"/v1/executions/{trigger.ids[0]}/cancel", {}, lambda *_: True)
        if trigger.ids:
            helper = threading.Thread(target=self._help, args=(trigger, dice.randrange(1 << 30)), daemon=True)
            self._helpers.append(helper)
            helper.start()

    # Giving what they wait for.

    def _help(self, trigger: Trigger, seed: int) -> None:
        dice = random.Random(seed)
        with self._client() as client:
            if trigger.function == "expecting":
                for name in ("first", "second") if dice.random() < 0.7 else ("second", "first"):
                    time.sleep(dice.uniform(0, 2))
                    self._publish(client, dice, trigger.key, name)
            elif trigger.function == "chatty":
                for number in range(2):
                    time.sleep(dice.uniform(0, 2))
                    self._send(client, dice, trigger, f"{trigger.key}-{number}")
            elif trigger.function == "mending":
                self._resume(client, dice, trigger)

    def _publish(self, client: httpx2.Client, dice: random.Random, key: str, name: str) -> None:
        event = {"specversion": "1.0", "id": f"{key}-{name}", "source": "chaos", "type": f"news.{name}"}
        body = {**event, "data": {"key": key, "value": f"{name} {key}"}}
        headers = {"Content-Type": "application/cloudevents+json"}
        self._insist(client, dice, "/v1/events", body, lambda status, _: status == 202, headers)

    def _send(self, client: httpx2.Client, dice: random.Random, trigger: Trigger, name: str) -> None:
        execution = trigger.ids[0]

        def accepts(status: int, _: dict[str, Any]) -> bool:
            if status == 202:
                self.messages[name] = execution
            return status in (202, 409)

        self._insist(client, dice, f"/v1/executions/{execution}/messages", {"body": name, "id": name}, accepts)

    def _resume(self, client: httpx2.Client, dice: random.Random, trigger: Trigger) -> None:
        def accepts(status: int, body: dict[str, Any]) -> bool:
            return status == 409 and body.get("state") in ("succeeded", "failed", "cancelled", "discarded")

        self._insist(client, dice, f"/v1/executions/{trigger.ids[0]}/resume", {}, accepts)

    def _answer_tokens(self) -> None:
        """User code notes its tokens; each is used once or more often, always alike."""
        dice, used, ended_at = random.Random(self._seed), set[str](), 0.0
        with self._client() as client:
            while not ended_at or time.monotonic() < ended_at:
                if self._stopping.wait(PAUSE_SECONDS) and not ended_at:
                    ended_at = time.monotonic() + PATIENCE_SECONDS / 2
                if ended_at:
                    time.sleep(PAUSE_SECONDS)
                known = [each for each in read_effects(self._effects) if each["what"] == "token"]
                for each in known:
                    if each["value"] not in used:
                        used.add(each["value"])
                        body = {"result": f"answer {each['execution']}"}
                        self._insist(
                            client, dice, f"/v1/tokens/{each['value']}", body, lambda status, _: status in (202, 409)
                        )  # fmt: skip
                if ended_at and self._all_answered(known):
                    return

    def _all_answered(self, known: list[dict[str, Any]]) -> bool:
        asking = {execution for each in self.triggers if each.function == "asking" for execution in each.ids}
        return asking <= {each["execution"] for each in known}

    # How.

    def _client(self) -> httpx2.Client:
        return httpx2.Client(headers={"Authorization": f"Bearer {self._key}"}, timeout=6)

    def _insist(
        self,
        client: httpx2.Client,
        dice: random.Random,
        path: str,
        body: object,
        accepts: Accepts,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Ask until the answer is accepted, now and then once more; at most for the time of patience."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = client.post(
                    dice.choice(self._urls) + path, content=json.dumps(body).encode(),
                    headers={"Content-Type": "application/json", **(headers or {})},
                )  # fmt: skip
            except httpx2.HTTPError:
                pass
            else:
                if answer.status_code >= 400 and answer.status_code not in (404, 409, 500, 502, 503, 504):
                    self.refused.append(f"{path}: {answer.status_code} {answer.text}")
                    return
                if accepts(answer.status_code, answer.json()) and dice.random() > 0.1:
                    return
            time.sleep(PAUSE_SECONDS)


def read_effects(path: Path) -> list[dict[str, Any]]:
    """What user code has noted so far, whole lines only."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
