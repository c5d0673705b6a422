"""Three real nats-servers as one cluster, from the very configuration that the compose file mounts."""

import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.jetstream.access import USERS
from penstock.jetstream.binary import find_server
from penstock.jetstream.own_cluster import password_variable, users
from penstock_process import free_port, until

CONFIGURATION = Path(__file__).parent.parent / "infra" / "compose" / "nats" / "nats.conf"
NODES = 3
API_KEY = "pk_of_the_cluster"


class NatsCluster:
    """Nodes 0 to 2. `kill` and `start` one of them; what it stored stays in its directory."""

    def __init__(self, folder: Path, environment: str) -> None:
        self.passwords = {user: f"of_{user}" for user in USERS}
        self.ports = [free_port() for _ in range(NODES)]
        self._folder = folder
        self._configuration = Path(shutil.copy(CONFIGURATION, folder))
        (folder / "users.conf").write_text(users([environment]))
        self._route_ports = [free_port() for _ in range(NODES)]
        self._health_ports = [free_port() for _ in range(NODES)]
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
                    "--addr", "127.0.0.1", "--port", str(self.ports[node]),
                    "--http_port", str(self._health_ports[node]),
                    "--cluster", f"nats://route:of_route@127.0.0.1:{self._route_ports[node]}",
                ],
                env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def leader_of(self, stream: str) -> int | None:
        """The node that says last that it leads the stream."""
        said = [
            (line.split(" ", 3)[1:3], node)
            for node in range(NODES)
            for line in self.log(node).read_text().splitlines()
            if f"JetStream cluster new stream leader for '$G > {stream}'" in line
        ]
        return max(said)[1] if said else None

    def kill(self, node: int, number: int = signal.SIGKILL) -> None:
        self._processes[node].send_signal(number)

    def wait_whole(self, node: int) -> None:
        """Until a restarted server has caught up with all its streams."""
        until(lambda: self._is_healthy(node), 60)

    def wait_gone(self, node: int) -> None:
        self._processes[node].wait(20)

    def _is_healthy(self, node: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health_ports[node]}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)


@contextmanager
def nats_cluster(folder: Path, environment: str = "dev") -> Iterator[NatsCluster]:
    """A cluster whose three servers have found each other, gone afterwards."""
    cluster = NatsCluster(folder, environment)
    try:
        for node in range(NODES):
            cluster.start(node)
        for node in range(NODES):
            cluster.wait_whole(node)
        yield cluster
    finally:
        cluster.stop()
