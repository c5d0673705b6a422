"""Three real nats-servers as one cluster, from the very configuration that the compose file mounts."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.jetstream.access import USERS
from penstock.jetstream.binary import find_server
from penstock.jetstream.own_cluster import password_variable
from penstock_process import free_port

CONFIGURATION = Path(__file__).parent.parent / "infra" / "compose" / "nats" / "nats.conf"
NODES = 3
API_KEY = "pk_of_the_cluster"


class NatsCluster:
    """Nodes 0 to 2. `kill` and `start` one of them; what it stored stays in its directory."""

    def __init__(self, folder: Path, configuration: Path = CONFIGURATION) -> None:
        self.passwords = {user: f"of_{user}" for user in USERS}
        self.ports = [free_port() for _ in range(NODES)]
        self._folder = folder
        self._configuration = configuration
        self._route_ports = [free_port() for _ in range(NODES)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)

    def log(self, node: int) -> Path:
        return self._folder / f"nats-{node}.log"

    def start(self, node: int) -> None:
        """Start it, from empty or from what it had stored."""
        secrets = {password_variable(user): password for user, password in self.passwords.items()}
        routes = ", ".join(f"nats://route:of_route@127.0.0.1:{port}" for port in self._route_ports)
        environment = {
            "NATS_NAME": f"nats-{node}",
            "NATS_STORE": str(self._folder / f"nats-{node}"),
            "NATS_ROUTES": f"[{routes}]",
            "NATS_ROUTE_PASSWORD": "of_route",
            password_variable("trigger"): API_KEY,
            **secrets,
        }
        with self.log(node).open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [
                    find_server(None), "--config", self._configuration,
                    "--addr", "127.0.0.1", "--port", str(self.ports[node]), "--http_port", "-1",
                    "--cluster", f"nats://route:of_route@127.0.0.1:{self._route_ports[node]}",
                ],
                env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self, node: int, number: int = signal.SIGKILL) -> None:
        self._processes[node].send_signal(number)

    def wait_gone(self, node: int) -> None:
        self._processes[node].wait(20)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)


@contextmanager
def nats_cluster(folder: Path) -> Iterator[NatsCluster]:
    """A cluster whose three servers have found each other, gone afterwards."""
    cluster = NatsCluster(folder)
    try:
        for node in range(NODES):
            cluster.start(node)
        deadline = time.monotonic() + 30
        while not any("JetStream cluster new metadata leader" in cluster.log(each).read_text() for each in range(NODES)):
            assert time.monotonic() < deadline, cluster.log(0).read_text()
            time.sleep(0.05)
        yield cluster
    finally:
        cluster.stop()
