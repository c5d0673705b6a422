"""`penstock up`: what it prints, how it ends, and what it survives."""

import json
import os
import signal
import socket
import stat
import threading
from pathlib import Path

import httpx2
import pytest

from penstock_process import Penstock, penstock, until


def test_the_panel_says_all_that_a_newcomer_needs(tmp_path: Path) -> None:
    """Addresses, key, functions, what to type next, and how to see traces: once everything is ready."""
    with penstock(tmp_path) as product:
        panel = product.out.read_text()
        key = (product.data / "api-key").read_text().strip()
        for text in (
            f"http://127.0.0.1:{product.http_port}",
            f"nats://127.0.0.1:{product.nats_port}",
            key,
            "add, fail, order, work",
            "call add --args '[1, 1]'",
            "/  (sign in with the API key)",
            "curl",
            "jaegertracing/jaeger:2.20.0",
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
        ):
            assert text in panel


def test_the_key_is_shown_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    """A second start says where the key is instead of printing it; nobody else can read it."""
    with penstock(tmp_path) as product:
        key = (product.data / "api-key").read_text().strip()
        assert stat.S_IMODE(product.data.stat().st_mode) == 0o700
        assert stat.S_IMODE((product.data / "api-key").stat().st_mode) == 0o600
        assert product.stop() == 0
        again = product.start()
        assert key not in again
        assert str(product.data / "api-key") in "".join(again.split("\n"))
        assert (product.data / "api-key").read_text().strip() == key


def test_a_key_from_the_environment_is_used_and_not_stored(tmp_path: Path) -> None:
    """PENSTOCK_API_KEY replaces the key of the data directory."""
    with penstock(tmp_path, PENSTOCK_API_KEY="pk_from-the-environment") as product:
        assert "pk_from-the-environment" not in product.out.read_text()
        assert not (product.data / "api-key").exists()
        assert product.run("executions", "list").returncode == 0
        product.environment["PENSTOCK_API_KEY"] = "pk_wrong"
        refused = product.run("executions", "list")
        assert refused.returncode == 1
        assert "unauthorized" in refused.stderr


def test_sigterm_stops_all_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The supervisor ends with 0, and no process of it is left."""
    with penstock(tmp_path) as product:
        assert len(product.processes()) > 3
        assert product.stop() == 0
        assert product.processes() == {}


def test_a_killed_supervisor_takes_everything_with_it(tmp_path: Path) -> None:
    """After kill -9 of the supervisor nothing runs on, and a new start finds its ports free."""
    with penstock(tmp_path) as product:
        assert product.stop(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not product.processes(), 10)
        product.start()
        assert product.run("call", "add", "--args", "[1, 2]", "--wait").returncode == 0


def test_a_server_that_dies_during_the_start_does_not_end_it(tmp_path: Path) -> None:
    """It comes back while the services wait for it."""
    product = Penstock(tmp_path)

    def kill() -> None:
        until(lambda: any("serve ingest" in command for command in product.processes().values()))
        server = next(pid for pid, command in product.processes().items() if "nats-server" in command)
        os.kill(server, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        product.start()
        assert "nats-server runs again" in product.err.read_text()
        assert product.stop() == 0
    finally:
        killing.join()
        for pid in product.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(150)
def test_killed_services_come_back_and_nothing_is_lost(tmp_path: Path) -> None:
    """kill -9 of the hub, the runner and nats-server while work is under way: every execution still succeeds."""
    with penstock(tmp_path, "shop:app", "--json") as product:
        done = tmp_path / "done"
        done.mkdir()
        _enqueue(product, done, range(40))
        for name in ("serve runner", "serve ingest", "nats-server"):
            until(lambda: len(list(done.iterdir())) > 5)
            victim = next(pid for pid, command in product.processes().items() if name in command)
            os.kill(victim, signal.SIGKILL)
            until(lambda name=name, victim=victim: _other(product, name, victim), 20)  # type: ignore[misc]
        until(lambda: len(list(done.iterdir())) == 40, 40)
        until(lambda: _states(product) == {"succeeded"}, 30)
        assert product.stop() == 0


def test_a_second_start_on_one_data_directory_is_refused(tmp_path: Path) -> None:
    """It names the directory, the process and what to do, and leaves the first one alone."""
    with penstock(tmp_path) as product:
        refused = product.run("up", "shop:app")
        assert refused.returncode == 1
        assert "data_dir_in_use" in refused.stderr
        assert str(product.data) in refused.stderr
        assert "Traceback" not in refused.stderr
        assert product.run("functions", "list").returncode == 0


def test_a_busy_http_port_is_named_with_its_setting(tmp_path: Path) -> None:
    """The reason comes once, with the variable to change, and nothing is left running."""
    product = Penstock(tmp_path)
    with socket.create_server(("127.0.0.1", product.http_port)):
        refused = product.run("up", "shop:app")
    assert refused.returncode == 1
    assert refused.stderr.startswith("port_busy: ")
    assert "PENSTOCK_HTTP_PORT" in refused.stderr
    assert refused.stderr.count(str(product.http_port)) == 1
    assert "Traceback" not in refused.stderr
    assert product.processes() == {}


def test_a_busy_nats_port_is_named_with_its_setting(tmp_path: Path) -> None:
    """The same for the port of the embedded server."""
    product = Penstock(tmp_path)
    with socket.create_server(("127.0.0.1", product.nats_port)):
        refused = product.run("up", "shop:app")
    assert refused.returncode == 1
    assert "PENSTOCK_NATS_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_app_that_cannot_be_imported_is_shown_with_its_own_traceback(tmp_path: Path) -> None:
    """The author sees the line of the module at fault, not the insides of Penstock."""
    product = Penstock(tmp_path)
    (tmp_path / "broken.py").write_text("import penstock\n\nundefined_name\n", encoding="utf-8")
    refused = product.run("up", "broken:app")
    assert refused.returncode == 1
    assert "broken.py" in refused.stderr
    assert "undefined_name" in refused.stderr
    assert "libs/penstock/service" not in refused.stderr
    assert product.processes() == {}


def test_an_app_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A misspelt module is one message without a traceback."""
    refused = Penstock(tmp_path).run("up", "no_such_module:app")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "no_such_module" in refused.stderr


def test_with_json_one_line_tells_programs_where_everything_is(tmp_path: Path) -> None:
    """`penstock up --json` prints one JSON document when it is ready."""
    with penstock(tmp_path, "shop:app", "--json") as product:
        facts = json.loads(product.out.read_text())
        assert facts["url"] == f"http://127.0.0.1:{product.http_port}"
        assert facts["functions"] == ["add", "fail", "order", "work"]
        assert facts["api_key"] == (product.data / "api-key").read_text().strip()


def test_a_port_of_zero_takes_any_and_says_which(tmp_path: Path) -> None:
    """Port 0 is for tests and for machines where others decide."""
    with penstock(tmp_path, "shop:app", "--json", "--port", "0") as product:
        url = json.loads(product.out.read_text())["url"]
        assert not url.endswith((":0", str(product.http_port)))
        product.environment["PENSTOCK_URL"] = url
        assert product.run("functions", "list").returncode == 0


def _enqueue(product: Penstock, done: Path, numbers: range) -> None:
    key = (product.data / "api-key").read_text().strip()
    items = [{"args": [str(done), number]} for number in numbers]
    url = f"http://127.0.0.1:{product.http_port}/v1/functions/work/executions/batch"
    answer = httpx2.post(url, json={"items": items}, headers={"Authorization": f"Bearer {key}"}, timeout=10)
    assert answer.status_code == 207, answer.text


def _other(product: Penstock, name: str, victim: int) -> bool:
    return any(name in command and pid != victim for pid, command in product.processes().items())


def _states(product: Penstock) -> set[str]:
    done = product.run("executions", "list", "--limit", "100", "--json")
    if done.returncode:
        return {done.stderr}
    return {execution["state"] for execution in json.loads(done.stdout)["data"]}
