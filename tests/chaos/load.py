"""A client that asks for work through every door while everything around it dies, and remembers every answer."""

import asyncio
import json
import random
import threading
import time
from pathlib import Path

import httpx2
import nats.errors

import nats
from chaos.checker import Trigger

FUNCTIONS = ("plain", "plain_sync", "slow_sync", "flaky", "hopeless", "stepped", "stepped", "stepped_sync", "parent")
PAUSE_SECONDS = 0.25
PATIENCE_SECONDS = 60.0
"""How long one request is asked again before its outcome stays unknown."""


class Load:
    """Threads that ask over HTTP, and one that publishes on NATS. `stop` ends them and waits for answers."""

    def __init__(self, ports: list[int], nats_url: str, key: str, seed: int, journal: Path) -> None:
        self.triggers: list[Trigger] = []
        self._urls = [f"http://127.0.0.1:{port}" for port in ports]
        self._nats_urls = nats_url.split(",")
        self._key = key
        self._seed = seed
        self._journal = journal.open("a", encoding="utf-8")
        self._stopping = threading.Event()
        self._count = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_http, args=(number,), daemon=True) for number in range(3)]
        self._threads.append(threading.Thread(target=lambda: asyncio.run(self._ask_nats()), daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS + 15)
            assert not thread.is_alive(), "a client thread did not end"

    def _trigger(self, door: str, function: str, is_keyed: bool = True) -> Trigger:
        with self._lock:
            self._count += 1
            trigger = Trigger(door, function, f"k{self._count}", is_keyed)
            self.triggers.append(trigger)
        return trigger

    def _write(self, trigger: Trigger, answer: object) -> None:
        with self._lock:
            line = {"at": time.time(), "door": trigger.door, "function": trigger.function, "key": trigger.key}
            self._journal.write(json.dumps({**line, "answer": answer}) + "\n")
            self._journal.flush()

    # HTTP.

    def _ask_http(self, number: int) -> None:
        dice = random.Random(self._seed * 100 + number)
        with httpx2.Client(headers={"Authorization": f"Bearer {self._key}"}, timeout=6) as client:
            while not self._stopping.wait(dice.uniform(0.1, 0.6)):
                if dice.random() < 0.15:
                    self._publish_http(client, dice)
                else:
                    self._enqueue_http(client, dice)

    def _enqueue_http(self, client: httpx2.Client, dice: random.Random) -> None:
        trigger = self._trigger("http", dice.choice(FUNCTIONS), is_keyed=dice.random() < 0.7)
        options = {}
        draw = dice.random()
        if draw < 0.2:
            options["delay"] = f"{dice.randint(500, 4000)}ms"
        elif draw < 0.24:
            options["delay"] = "1h"
            trigger.door = "far"
        headers = {"Idempotency-Key": trigger.key} if trigger.is_keyed else {}
        path = f"/v1/functions/{trigger.function}/executions"
        self._post(client, dice, trigger, path, {"args": [trigger.key], "options": options}, headers)
        if trigger.ids and trigger.door == "http" and dice.random() < 0.08:
            self._cancel(client, dice, trigger)

    def _publish_http(self, client: httpx2.Client, dice: random.Random) -> None:
        trigger = self._trigger("http-event", "")
        event = {"specversion": "1.0", "id": trigger.key, "source": "chaos", "type": "chaos.happened"}
        body = {**event, "data": {"key": trigger.key}}
        headers = {"Content-Type": "application/cloudevents+json"}
        self._post(client, dice, trigger, "/v1/events", body, headers)

    def _post(
        self,
        client: httpx2.Client,
        dice: random.Random,
        trigger: Trigger,
        path: str,
        body: object,
        headers: dict[str, str],
    ) -> None:
        """Ask until accepted; without a key only once, since asking again would be another request."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        again = 0.1 if trigger.is_keyed else 0.0
        while time.monotonic() < deadline:
            try:
                content = json.dumps(body).encode()
                headers = {"Content-Type": "application/json", **headers}
                answer = client.post(dice.choice(self._urls) + path, content=content, headers=headers)
            except httpx2.HTTPError as error:
                self._write(trigger, type(error).__name__)
            else:
                self._write(trigger, [answer.status_code, answer.text])
                assert answer.status_code in (202, 404, 500, 502, 503, 504), answer.text
                if answer.status_code == 202:
                    trigger.accepted = True
                    if trigger.function:
                        trigger.ids.append(answer.json()["id"])
                    if dice.random() >= again:
                        return
            if not trigger.is_keyed:
                return
            time.sleep(PAUSE_SECONDS)

    def _cancel(self, client: httpx2.Client, dice: random.Random, trigger: Trigger) -> None:
        try:
            answer = client.post(f"{dice.choice(self._urls)}/v1/executions/{trigger.ids[0]}/cancel", json={})
        except httpx2.HTTPError as error:
            self._write(trigger, ["cancel", type(error).__name__])
        else:
            self._write(trigger, ["cancel", answer.status_code])

    # NATS.

    async def _ask_nats(self) -> None:
        dice = random.Random(self._seed * 100 + 99)

        async def quiet(error: Exception) -> None:
            self._write(Trigger("nats", "", ""), repr(error))

        client = await nats.connect(
            self._nats_urls, user="trigger", password=self._key, max_reconnect_attempts=-1, reconnect_time_wait=0.2,
            error_cb=quiet, pending_size=-1,
        )  # fmt: skip
        stream = client.jetstream(timeout=3)
        while not self._stopping.is_set():
            await asyncio.sleep(dice.uniform(0.1, 0.6))
            if dice.random() < 0.5:
                trigger = self._trigger("nats-event", "")
                subject, body = "penstock.dev.events.chaos.happened", {"key": trigger.key}
            else:
                trigger = self._trigger("nats-invoke", dice.choice(FUNCTIONS))
                subject, body = f"penstock.dev.invoke.{trigger.function}", {"args": [trigger.key]}
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not trigger.accepted and time.monotonic() < deadline:
                try:
                    headers = {"Penstock-Idempotency-Key": trigger.key}
                    stored = await stream.publish(subject, json.dumps(body).encode(), headers=headers)
                except (nats.errors.Error, nats.js.errors.Error, OSError) as error:
                    self._write(trigger, repr(error))
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    trigger.accepted = True
                    self._write(trigger, f"e:{stored.seq}")
        await client.close()
