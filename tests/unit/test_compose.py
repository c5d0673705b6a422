"""The compose file and what it mounts agree with each other and with the product, as far as that shows unrun."""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.jetstream.access import SERVICES, USERS
from penstock.jetstream.binary import find_server
from penstock.jetstream.own_cluster import password_variable, users
from penstock.service.settings import PREFIX, Settings, load_settings
from penstock.telemetry.names import ATTRIBUTES

ROOT = Path(__file__).parent.parent.parent
COMPOSE = ROOT / "infra" / "compose"
VARIABLE = re.compile(r"\$\{(\w+)")


@pytest.fixture(scope="module")
def text() -> str:
    return (COMPOSE / "compose.yaml").read_text()


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text)["services"])


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .env that `secrets.sh` makes."""
    folder = tmp_path_factory.mktemp("compose")
    for name in (".env.example", "secrets.sh"):
        shutil.copy(COMPOSE / name, folder)
    subprocess.run([folder / "secrets.sh"], check=True, capture_output=True)
    return folder / ".env"


def _values(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _expanded(value: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda found: values[found[1]], value)


def _ours(services: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {name: each["environment"] for name, each in services.items() if each["image"] == "penstock:local"}


def test_every_setting_in_it_exists_and_is_accepted(services: dict[str, Any], secrets: Path) -> None:
    """A misspelt variable would be ignored without a word."""
    values = _values(secrets)
    for name, environment in _ours(services).items():
        found = {key: _expanded(value, values) for key, value in environment.items() if key.startswith(PREFIX)}
        assert {key.removeprefix(PREFIX).lower() for key in found} <= set(Settings.__struct_fields__), name
        load_settings(found)


def test_each_service_has_the_passwords_of_its_own_users_only(services: dict[str, Any], secrets: Path) -> None:
    """Whoever breaks into one container has the rights of that one."""
    values = _values(secrets)
    known = {name: environment["PENSTOCK_NATS_PASSWORDS"] for name, environment in _ours(services).items()}
    found = {name: [pair.partition("=")[0] for pair in given.split(",")] for name, given in known.items()}
    assert found == {
        "streams": ["operator"],
        "doors": ["ingest", "query"],
        **{name: [name] for name in ("scheduler", "runner", "notifier")},
    }
    for given in known.values():
        for pair in given.split(","):
            user, _, reference = pair.partition("=")
            assert reference == f"${{{password_variable(user)}}}"
            assert values[password_variable(user)]
    assert {user for pairs in found.values() for user in pairs} == set(SERVICES) | {"operator"}


def test_every_variable_in_it_is_one_of_the_secrets_or_examples(text: str, secrets: Path) -> None:
    """`docker compose up` after `secrets.sh` must not ask for anything more."""
    used = set(VARIABLE.findall(text))
    assert used == set(_values(secrets))


def test_secrets_are_random_private_and_kept(secrets: Path) -> None:
    """A second run must not change the keys of an installation."""
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    before = secrets.read_text()
    subprocess.run([secrets.parent / "secrets.sh"], check=True, capture_output=True)
    assert secrets.read_text() == before
    made = [value for key, value in _values(secrets).items() if key.endswith(("_PASSWORD", "_KEY"))]
    assert all(re.fullmatch(r"p[0-9a-f]{48}", value) for value in made)
    assert len(set(made)) == len(made) == 11


def test_every_mounted_file_exists(services: dict[str, Any]) -> None:
    """Docker would make an empty directory in the place of a missing one."""
    mounted = [each.split(":")[0] for service in services.values() for each in service.get("volumes", [])]
    assert [each for each in mounted if each.startswith(".") and not (COMPOSE / each).exists()] == []
    assert len(mounted) > 10


def test_published_ports_are_on_this_machine_only(services: dict[str, Any]) -> None:
    """Whoever opens them to others should do so knowingly."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_users_of_the_cluster_are_those_of_the_product(services: dict[str, Any]) -> None:
    """`penstock nats users prod > infra/compose/nats/users.conf` brings them up to date."""
    environment = services["doors"]["environment"]["PENSTOCK_ENV"]
    assert (COMPOSE / "nats" / "users.conf").read_text() == users([environment])


def test_nats_server_takes_the_configuration_with_the_variables_of_the_compose_file(
    services: dict[str, Any], secrets: Path
) -> None:
    """Every variable that the configuration asks for is set, and read as what it is meant to be."""
    values = _values(secrets)
    environment = {key: _expanded(value, values) for key, value in services["nats-1"]["environment"].items()}
    assert {password_variable(user) for user in (*USERS, "trigger", "route")} <= set(environment)
    done = subprocess.run(
        [find_server(None), "-t", "--config", COMPOSE / "nats" / "nats.conf"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_links_of_the_trace_viewer_use_attributes_that_exist() -> None:
    """A pattern whose key no span carries shows nothing."""
    patterns = json.loads((COMPOSE / "jaeger" / "ui.json").read_text())["linkPatterns"]
    assert {each["key"] for each in patterns} <= set(ATTRIBUTES)
    assert all(f"#{{{each['key']}}}" in each["url"] for each in patterns)
