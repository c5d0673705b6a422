"""Who harms the running product: one fault after the other, chosen by a seed."""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from chaos.second import Second
from penstock_process import Penstock

FROZEN_SECONDS = 15.0
"""Longer than a lease, and than it takes to notice that it has lapsed."""
MARKS = {
    "nats": "nats-server",
    "hub": "serve ingest scheduler",
    "runner": "serve runner",
    "worker": "penstock_runner.workers.child",
}


class Nemesis:
    """`rampage(seconds)` returns when it is over and everything is started again."""

    def __init__(self, product: Penstock, second: Second, seed: int, tell: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        self._product = product
        self._second = second
        self._dice = random.Random(seed)
        self._tell = tell
        self._began = time.monotonic()
        self._frozen: list[threading.Thread] = []

    def rampage(self, seconds: float) -> None:
        """Faults with random pauses between them."""
        faults: list[tuple[int, str, Callable[[], None]]] = [
            (3, "kill nats", lambda: self._signal("nats", signal.SIGKILL)),
            (3, "kill hub", lambda: self._signal("hub", signal.SIGKILL)),
            (4, "kill runner", lambda: self._signal("runner", signal.SIGKILL)),
            (3, "kill worker", lambda: self._signal("worker", signal.SIGKILL)),
            (1, "terminate nats", lambda: self._signal("nats", signal.SIGTERM)),
            (1, "terminate hub", lambda: self._signal("hub", signal.SIGTERM)),
            (1, "terminate runner", lambda: self._signal("runner", signal.SIGTERM)),
            (2, "kill supervisor", lambda: self._supervisor(signal.SIGKILL)),
            (1, "terminate supervisor", lambda: self._supervisor(signal.SIGTERM)),
            (2, "freeze runner", self._freeze),
            (2, "kill second", self._second.kill),
            (3, "lose answers", lambda: self._second.lose_answers(self._dice.uniform(0.1, 1.5))),
        ]
        self._began = time.monotonic()
        while time.monotonic() - self._began < seconds:
            time.sleep(self._dice.uniform(0.3, 3.5))
            (fault,) = self._dice.choices(faults, [weight for weight, _, _ in faults])
            self.done[fault[1]] += 1
            self._say(fault[1])
            fault[2]()
        for thread in self._frozen:
            thread.join()
        self._second.ensure()

    def _say(self, what: str) -> None:
        self._tell(f"{time.monotonic() - self._began:6.2f} {what}")

    def _victims(self, mark: str) -> list[int]:
        return [pid for pid, command in self._product.processes().items() if mark in command]

    def _signal(self, who: str, number: int) -> None:
        victims = self._victims(MARKS[who])
        if victims:
            send(self._dice.choice(victims), number)

    def _supervisor(self, number: int) -> None:
        process = self._product.process
        assert process is not None
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            raise AssertionError("the supervisor does not stop") from None
        self._say("  stopped")
        self._product.start(within=60)
        self._say("  started again")

    def _freeze(self) -> None:
        """Only the runner itself: its workers run on, as they do when a machine is short of time."""
        victims = self._victims(MARKS["runner"]) + ([self._second.pid] if self._second.pid else [])
        if not victims or any(thread.is_alive() for thread in self._frozen):
            return
        victim = self._dice.choice(victims)
        send(victim, signal.SIGSTOP)

        def thaw() -> None:
            time.sleep(FROZEN_SECONDS)
            send(victim, signal.SIGCONT)

        self._frozen.append(threading.Thread(target=thaw))
        self._frozen[-1].start()


def send(pid: int, number: int) -> None:
    """A signal to a process that may have gone."""
    try:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, number)
    except ProcessLookupError:
        return
