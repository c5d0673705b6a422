"""What a real promtool says to the configuration, the alerts and the metrics: `make prometheus-check`."""

import subprocess
from pathlib import Path

import httpx2
import pytest

from penstock_process import Penstock, until

pytestmark = pytest.mark.prometheus
INFRA = Path(__file__).parent.parent.parent / "infra"


def _promtool(*arguments: str, given: str = "") -> str:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_configuration_of_the_compose_file_is_valid(tmp_path: Path) -> None:
    """With the paths of this machine in place of the container's."""
    config = (INFRA / "compose" / "prometheus" / "prometheus.yml").read_text()
    (tmp_path / "key").write_text("pk_of_nobody")
    config = config.replace("/run/secrets/api-key", str(tmp_path / "key"))
    config = config.replace("/etc/prometheus/alerts.yml", str(INFRA / "prometheus" / "alerts.yml"))
    (tmp_path / "prometheus.yml").write_text(config)
    assert "SUCCESS" in _promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_the_alerts_say_what_they_should() -> None:
    """Also to numbers that are well."""
    assert "SUCCESS" in _promtool("test", "rules", str(INFRA / "prometheus" / "alerts_test.yml"))


def test_the_metrics_are_named_as_prometheus_wants_them(product: Penstock) -> None:
    """After an execution of each outcome, so that all of them are there."""
    product.run("call", "add", "--args", "[1, 2]", "--wait")
    product.run("call", "fail", "--wait")

    def told() -> str:
        page = httpx2.get(
            f"http://127.0.0.1:{product.http_port}/metrics", headers={"Authorization": f"Bearer {product.key}"}
        )
        return page.text if 'state="failed"' in page.text else ""

    assert _promtool("check", "metrics", given=until(told)) == ""
