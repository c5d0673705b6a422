"""Traces of a whole installation: what its collector missed, and what is sent again, span by span."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from penstock_process import Penstock, until
from services.notifier.collector import Collector, attributes_of
from services.notifier.receivers import HttpReceiver

CALLER = f"00-{'a' * 32}-{'b' * 16}-01"
CONFIG = """
[channels.ops]
type = "webhook"
url = "{url}/hook"
secrets = ["file:{secret}"]

[rules.each]
channels = ["ops"]
on = ["failed"]
group = false
"""
FURTHER = 4
"""Executions that others make: a batch, a child, a hook, and one by an event."""
EVERY_KIND = {
    "enqueue", "delay", "queued", "started", "suspended", "attempt 1", "attempt 2", "retry wait", "step count",
    "wait sleep", "wait count~1", "call plain", "notify", "notify ops",
    "plain", "unsteady", "durable", "together", "told", "doomed", "order",
}  # fmt: skip


@pytest.fixture(scope="module")
def live() -> Iterator[Collector]:
    """The collector of the installation, which is down at first."""
    collector = Collector()
    collector.is_down = True
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def hook() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, live: Collector, hook: HttpReceiver) -> Iterator[Penstock]:
    folder: Path = tmp_path_factory.mktemp("traced")
    shutil.copy(Path(__file__).with_name("traced_shop.py"), folder)
    (folder / "secret").write_text("whsec_" + "c2VjcmV0" * 5)
    config = folder / "notify.toml"
    config.write_text(CONFIG.format(url=hook.url, secret=folder / "secret"))
    product = Penstock(
        folder, ("traced_shop:app",), PENSTOCK_NOTIFY_CONFIG=str(config), PENSTOCK_EGRESS_ALLOW="127.0.0.1",
        OTEL_EXPORTER_OTLP_ENDPOINT=live.url, OTEL_EXPORTER_OTLP_TIMEOUT="1",
    )  # fmt: skip
    try:
        product.start()
        yield product
    finally:
        for pid in product.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert product.process is not None
        product.process.wait(10)


@pytest.fixture(scope="module")
def api(product: Penstock) -> Iterator[httpx2.Client]:
    key = (product.data / "api-key").read_text().strip()
    url = f"http://127.0.0.1:{product.http_port}/v1"
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client


def start(api: httpx2.Client, function: str, *args: Any, headers: dict[str, str] | None = None, **options: Any) -> str:
    body = {"args": args, "options": options}
    answer = api.post(f"/functions/{function}/executions", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def are_over(api: httpx2.Client, count: int) -> bool:
    found = api.get("/executions", params={"limit": "100"}).json()["data"]
    return len(found) == count and all(each["finished_at"] for each in found)


def spans(collector: Collector) -> dict[tuple[bytes, bytes], tuple[str, bytes]]:
    """(trace, span) -> service and everything that the span says."""
    return {
        (span.trace_id, span.span_id): (service, span.SerializeToString()) for service, span in list(collector.received)
    }


@pytest.fixture(scope="module")
def executions(product: Penstock, api: httpx2.Client, live: Collector, hook: HttpReceiver) -> dict[str, str]:
    """Name -> id, all at their end. The services died in between, with the collector away all the time."""
    made = {name: start(api, name) for name in ("unsteady", "durable", "doomed")}
    made["first"] = start(api, "plain", 1, headers={"traceparent": CALLER, "tracestate": "x=y"})
    until(lambda: live.refused)
    (services,) = (pid for pid, command in product.processes().items() if "serve ingest" in command)
    os.kill(services, signal.SIGKILL)
    until(lambda: _is_up(api, services, product))
    made["delayed"] = start(api, "plain", 2, headers={"traceparent": CALLER}, delay="200ms")
    made |= {name: start(api, "together", number) for number, name in enumerate(("one", "two"))}
    assert api.post("/events", json={"name": "order.created", "data": 1}).status_code == 202
    made["again"] = str(api.post(f"/executions/{made['first']}/rerun", json={}).json()["id"])
    until(lambda: hook.got and are_over(api, len(made) + FURTHER), within=40)
    return made


def _is_up(api: httpx2.Client, before: int, product: Penstock) -> bool:
    try:
        return before not in product.processes() and api.get("/functions").status_code == 200
    except httpx2.HTTPError:
        return False


def test_what_a_collector_missed_arrives_later_also_over_a_crash(
    product: Penstock, executions: dict[str, str], live: Collector
) -> None:
    """Each span that the log gives, as `trace export` sends it: ids, parents, times, attributes, links, errors."""
    live.is_down = False
    again = Collector()
    report = product.json("trace", "export", "--since", "1h", "--endpoint", again.url)
    assert report["spans"] == len(again.received) == len(spans(again))
    assert report["executions"] == len(executions) + FURTHER
    until(lambda: spans(again).keys() <= spans(live).keys())
    assert spans(live) == spans(again)
    assert {span.name for _, span in again.received} == EVERY_KIND
    again.close()


def test_executions_that_began_before_are_given_whole(product: Penstock, executions: dict[str, str]) -> None:
    """From the position of its last fact on, an execution comes with all its spans."""
    facts = product.json("executions", "show", executions["unsteady"])
    again = Collector()
    report = product.json(
        "trace", "export", "--since", facts["sequence"], "--until", facts["sequence"], "--endpoint", again.url
    )
    assert report["executions"] == 1
    names = {span.name for _, span in again.received}
    assert names == {"enqueue", "queued", "started", "attempt 1", "retry wait", "attempt 2", "unsteady"}
    again.close()


def test_one_execution_is_exported_with_what_was_told_of_it(product: Penstock, executions: dict[str, str]) -> None:
    """Its trace alone."""
    again = Collector()
    done = product.run("trace", "export", "--execution", executions["doomed"], "--endpoint", again.url)
    assert "7 spans of 1 execution sent to " in done.stdout, done.stderr
    assert {span.name for _, span in again.received} == {
        "enqueue", "queued", "started", "attempt 1", "notify", "doomed", "notify ops"
    }  # fmt: skip
    again.close()


def test_receivers_are_told_the_span_of_the_delivery(
    executions: dict[str, str], hook: HttpReceiver, live: Collector
) -> None:
    """In `traceparent`, so that what they do for it belongs to the trace."""
    trace = until(lambda: "notify ops" in live.trace(executions["doomed"]) and live.trace(executions["doomed"]))
    assert hook.got[0].headers["traceparent"] == f"00-{executions['doomed']}-{trace['notify ops'].span_id.hex()}-01"
    assert trace["notify ops"].parent_span_id == trace["doomed"].span_id
    assert attributes_of(trace["notify ops"])["penstock.notification.tries"] == 1


def test_a_rerun_is_linked_to_what_it_repeats(executions: dict[str, str], live: Collector) -> None:
    """By the span of the first one, in the trace of its caller."""
    trace = until(lambda: "plain" in live.trace(executions["again"]) and live.trace(executions["again"]))
    (link,) = trace["plain"].links
    first = live.trace("a" * 32)["plain"]
    assert (link.trace_id, link.span_id) == (first.trace_id, first.span_id)
    assert first.trace_state == "x=y"


def test_an_export_without_a_collector_says_what_to_do(product: Penstock, executions: dict[str, str]) -> None:
    """Without an address, with a wrong one, and with a time that is none."""
    away = product.run("trace", "export", "--since", "1h", "--endpoint", "http://127.0.0.1:9")
    assert away.returncode == 1
    assert "The collector at http://127.0.0.1:9/v1/traces does not take spans" in away.stderr
    del product.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert "--endpoint URL" in product.run("trace", "export", "--since", "1h").stderr
    wrong = product.run("trace", "export", "--since", "soon", "--endpoint", "http://127.0.0.1:9")
    assert "--since is a duration (2h), an instant or a position (x:42)" in wrong.stderr
    assert "--since 2h" in product.run("trace", "export").stderr
