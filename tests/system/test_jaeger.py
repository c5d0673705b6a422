"""The traces of real executions in a real Jaeger: `make jaeger-check` where `jaeger` is on the PATH."""

import os
import shutil
import signal
import subprocess
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from jaeger_process import CONFIGURATION, Jaeger, Span, drawn, roots, running_jaeger
from penstock.domain.ids import span_id
from penstock.telemetry.names import EXECUTION_ID
from penstock_process import Penstock, until
from services.notifier.receivers import HttpReceiver

pytestmark = [pytest.mark.jaeger, pytest.mark.timeout(120)]
HERE = Path(__file__).parent
FINAL = ("succeeded", "failed", "cancelled", "discarded")
CALLER = "00f067aa0ba902b7"
NOTIFY = """
[channels.ops]
type = "webhook"
url = "{url}/hook"
secrets = ["env:HOOK_SECRET"]

[rules.failures]
channels = ["ops"]
group = false
"""


class Stand:
    """A Penstock that sends its spans to a Jaeger."""

    def __init__(self, product: Penstock, jaeger: Jaeger, tell: Callable[[str], None]) -> None:
        self.product = product
        self.jaeger = jaeger
        self.tell = tell

    def call(self, function: str, *args: object, traceparent: str = "", **options: str) -> dict[str, Any]:
        """The execution once it has ended."""
        headers = {
            "Authorization": f"Bearer {self.product.key}",
            **({"traceparent": traceparent} if traceparent else {}),
        }
        with httpx2.Client(base_url=self.product.environment["PENSTOCK_URL"], headers=headers, timeout=10) as client:
            body = {"args": args, "options": options}
            answer = client.post(f"/v1/functions/{function}/executions", json=body)
            assert answer.status_code == 202, answer.text
            path = answer.headers["location"]

            def ended() -> dict[str, Any] | None:
                execution: dict[str, Any] = client.get(path, params={"after": answer.json()["sequence"]}).json()
                return execution if execution["state"] in FINAL else None

            found: dict[str, Any] = until(ended, 30)
        return found

    def trace(self, title: str, execution: dict[str, Any], *, spans: int) -> Span:
        """The span of the execution with all below it, when the trace has so many spans; it is printed."""
        found = until(lambda: self._spans(execution["trace_id"], spans), 30)
        tops = roots(found)
        self.tell(f"\n{title}: trace {execution['trace_id']}, {len(found)} spans")
        for top in tops:
            self.tell(drawn(top, 1))
        root = found[span_id(execution["id"])]
        assert root in tops or root.parent in found
        return root

    def _spans(self, trace_id: str, least: int) -> dict[str, Span] | None:
        found = self.jaeger.spans(trace_id)
        return found if len(found) >= least else None


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Stand]:
    """The product with the app of this test and a receiver of notifications, beside a Jaeger."""
    folder: Path = tmp_path_factory.mktemp("viewed")
    shutil.copy(HERE / "viewed_app.py", folder)
    receiver = HttpReceiver()
    (folder / "notify.toml").write_text(NOTIFY.format(url=receiver.url))
    product = Penstock(
        folder, ("viewed_app:app",),
        PENSTOCK_NOTIFY_CONFIG=str(folder / "notify.toml"), PENSTOCK_EGRESS_ALLOW="127.0.0.1",
        HOOK_SECRET="whsec_" + "c2VjcmV0" * 5,
    )  # fmt: skip
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    with running_jaeger(folder, product.environment["PENSTOCK_URL"]) as jaeger:
        product.environment |= {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{jaeger.endpoint}/v1/traces",
            "PENSTOCK_TRACE_URL": f"http://127.0.0.1:{jaeger.port}/trace/{{trace_id}}",
        }
        try:
            product.start(within=90)
            yield Stand(product, jaeger, tell)
        finally:
            for pid in product.processes():
                os.kill(pid, signal.SIGKILL)
            receiver.close()


def _below(span: Span) -> list[str]:
    return [each.name for each in span.children]


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    """As far as Jaeger checks it without starting."""
    environment = {**os.environ, "JAEGER_STORE": str(tmp_path), "JAEGER_UI": str(CONFIGURATION / "ui.json")}
    done = subprocess.run(
        ["jaeger", "validate", "--config", CONFIGURATION / "jaeger.yaml"],
        env=environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_plain_execution_continues_the_trace_of_its_caller(stand: Stand) -> None:
    """It is the child of the span that the caller had, with its queue time and its attempt below it."""
    trace = uuid.uuid4().hex
    execution = stand.call("plain", "x", traceparent=f"00-{trace}-{CALLER}-01")
    root = stand.trace("plain, with a caller", execution, spans=5)
    assert execution["trace_id"] == trace
    assert (root.name, root.parent, root.is_error) == ("plain", CALLER, False)
    assert {"enqueue", "queued", "attempt 1"} <= set(_below(root))
    assert {each.service for each in root.children} >= {"penstock-ingest", "penstock-runner"}


def test_a_retry_shows_the_error_and_the_pause(stand: Stand) -> None:
    """The failed attempt is red and has its exception, the execution is not."""
    execution = stand.call("flaky")
    root = stand.trace("retried", execution, spans=7)
    first = next(each for each in root.children if each.name == "attempt 1")
    assert first.is_error
    assert not root.is_error
    (exception,) = first.events
    assert exception["exception.type"].endswith("ConnectionError")
    assert exception["exception.message"] == "the shop does not answer"
    assert Counter(_below(root)) == Counter(
        ["enqueue", "queued", "started", "attempt 1", "retry wait", "queued", "started", "attempt 2"]
    )
    assert [name for name in _below(root) if name[:5] in ("attem", "retry")] == ["attempt 1", "retry wait", "attempt 2"]


def test_steps_waits_and_children_are_one_tree(stand: Stand) -> None:
    """The child hangs below the attempt that called it, beside the call."""
    execution = stand.call("order", "boots")
    root = stand.trace("steps, a sleep and a child", execution, spans=18)
    (attempt,) = (each for each in root.children if each.name == "attempt 1")
    names = _below(attempt)
    assert [name for name in names if name.startswith("step ")] == ["step price", "step ship"]
    assert {"wait sleep", "call plain", "suspended"} <= set(names)
    (child,) = (each for each in attempt.children if each.name == "plain")
    assert child.tags["penstock.execution.parent_id"] == execution["id"]
    assert "attempt 1" in _below(child)


def test_a_delayed_execution_has_a_trace_of_its_own_with_a_link(stand: Stand) -> None:
    """Its trace id is its id, so that anybody finds it; the caller's trace is one click away."""
    trace = uuid.uuid4().hex
    execution = stand.call("plain", "later", traceparent=f"00-{trace}-{CALLER}-01", delay="1s")
    root = stand.trace("delayed", execution, spans=5)
    assert execution["trace_id"] == execution["id"]
    assert root.links == [trace]
    assert "delay" in _below(root)


def test_a_failure_is_red_from_the_root_to_the_attempt_and_is_notified(stand: Stand) -> None:
    """The last things in its trace are that it was told, and to whom."""
    execution = stand.call("hopeless")
    root = stand.trace("failed, and told", execution, spans=7)
    assert root.is_error
    assert root.tags["penstock.execution.state"] == "failed"
    assert next(each for each in root.children if each.name == "attempt 1").is_error
    assert {"notify", "notify ops"} <= set(_below(root))


def test_each_service_has_its_name(stand: Stand) -> None:
    """They are the list in which people look for traces."""
    assert {f"penstock-{name}" for name in ("ingest", "scheduler", "runner", "notifier")} <= until(
        lambda: stand.jaeger.services(), 10
    )


def test_every_span_leads_back_to_its_execution(stand: Stand) -> None:
    """The link patterns of the viewer take the id from an attribute."""
    execution = stand.call("plain", "x")
    root = stand.trace("links", execution, spans=4)
    assert root.tags[EXECUTION_ID] == execution["id"]
    page = httpx2.get(f"http://127.0.0.1:{stand.jaeger.port}/search").text
    assert f"{stand.product.environment['PENSTOCK_URL']}/executions/#{{{EXECUTION_ID}}}" in page


def test_an_empty_viewer_gets_the_same_traces_from_the_log(stand: Stand) -> None:
    """Whoever loses their traces has them again, with the same ids, times and parents."""
    execution = stand.call("order", "shoes")
    stand.trace("before the viewer forgot", execution, spans=18)
    before = stand.jaeger.spans(execution["trace_id"])
    stand.jaeger.stop()
    stand.jaeger.start(stand.product.environment["PENSTOCK_URL"])
    assert stand.jaeger.spans(execution["trace_id"]) == {}
    done = stand.product.run("trace", "export", "--since", "1h", within=60)
    assert done.returncode == 0, done.stderr
    stand.tell(done.stdout.strip())
    stand.trace("exported from the log", execution, spans=len(before))
    after = stand.jaeger.spans(execution["trace_id"])
    assert {key: _kept(each) for key, each in after.items()} == {key: _kept(each) for key, each in before.items()}


def _kept(span: Span) -> tuple[object, ...]:
    return span.name, span.service, span.parent, span.start, span.duration, span.tags, span.links
