"""`GET /metrics` and the same numbers over OTLP, from a real log."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from eventually import eventually
from penstock.domain.execution.facts import AttemptLost, Started
from penstock.domain.notify.notice import Notice
from penstock.domain.schedule.facts import Cursor, LedgerEntry, Ticked
from penstock.domain.system import EventFannedOut, NotificationDue
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.server import EmbeddedServer
from penstock.jetstream.work import JetStreamWork
from penstock.telemetry import names as t
from penstock.wire.codec import encode_schedule_fact
from penstock.wire.names import Names
from sample_facts import enqueued, new_id, now, succeeded
from services.notifier.collector import Collector
from services_query_api import Api, open_api

SECOND = 1_000_000
BASE = re.compile(r"(?:_bucket|_sum|_count)?(?:\{.*)?$")
REGISTERED = {str(metric) for metric in t.METRICS}


@pytest.fixture
async def reporting(
    nats_server: EmbeddedServer, environment: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Api, Collector]]:
    """The service, which reports to a collector every one and a half seconds."""
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1500")
    async with AsyncExitStack() as stack:
        stack.callback(collector.close)
        yield await open_api(stack, nats_server, environment, tmp_path, ""), collector


async def text_of(api: Api) -> str:
    await api.get("/v1/executions")
    answer = await api.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


async def fill(api: Api, names: Names) -> None:
    """One of each: something for every metric."""
    log = api.log
    ended, running, waiting = new_id(), new_id(), new_id()
    first = enqueued(ended)
    started = Started(n=2, at=first.at + 2 * SECOND, activation=1, attempt=1, runner="r1")
    await api.append(ended, [first, started, succeeded()], function="add")
    lost = Started(n=2, at=now(), activation=1, attempt=1, runner="r1")
    await api.append(running, [enqueued(running), lost], function="add")
    await api.append(waiting, [enqueued(waiting)], function="add")
    await log.append_system("event_fanned_out", "e1", EventFannedOut(at=now(), sequence=1, event_id="e", name="a.b"))
    notice = Notice(id=new_id(), rule="r", about="failed", at=now(), text="t")
    await log.append_system("notification", f"ops.{notice.id}", NotificationDue(at=now(), channel="ops", notice=notice))
    skipped = LedgerEntry(tick=1, outcome="skipped", reason="missed", count=3)
    tick = Ticked(at=now(), key="nightly", entries=[skipped], cursor=Cursor(through=1))
    publish = Publisher(api.runtime.connections["query"]).publish
    repeated = Started(n=2, at=now(), activation=1, attempt=1, runner="r1")
    again = new_id()
    await publish(names.schedule_subject("nightly", "tick"), encode_schedule_fact(tick))
    failed = AttemptLost(n=3, at=now(), activation=1, attempt=1, runner="r1")
    await api.append(again, [enqueued(again), repeated, failed], function="add")


def series(text: str) -> dict[str, float]:
    """Series -> value."""
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def complete(api: Api) -> dict[str, float]:
    """Every series, once the gauges know of executions."""
    found = series(await text_of(api))
    return found if found.get('penstock_queue_depth{function="add"}') else {}


async def test_metrics_are_those_that_are_registered_and_no_others(
    reporting: tuple[Api, Collector], environment: Names
) -> None:
    """Every one has a value, in the text and over OTLP alike, since something of each kind has happened."""
    api, collector = reporting
    await fill(api, environment)
    work = JetStreamWork(api.runtime.connections["query"], environment, "add")
    await work.take(1)
    # The gauges may be those of a moment before all this.
    found = await eventually(lambda: complete(api), within=15)
    assert {BASE.sub("", name) for name in found} == REGISTERED
    assert found['penstock_executions_created_total{function="add"}'] == 4
    assert found['penstock_executions_finished_total{function="add",state="succeeded"}'] == 1
    assert found['penstock_start_delay_seconds_count{function="add"}'] == 3
    assert found['penstock_queue_depth{function="add"}'] == 2
    assert found['penstock_queue_runnable{function="add"}'] == 3
    assert found['penstock_slots_held{function="add"}'] == 1
    assert found['penstock_slots_wanted{function="add"}'] == 3
    assert 0 <= found['penstock_queue_oldest_age_seconds{function="add"}'] < 60
    assert found['penstock_ticks_total{outcome="skipped",reason="missed"}'] == 3
    assert found['penstock_notification_deliveries_total{channel="ops",outcome="due"}'] == 1
    assert found['penstock_events_total{state="unmatched"}'] == 1
    assert found["penstock_view_lag_facts"] == 0
    await eventually(lambda: set(collector.metrics) == REGISTERED)
    created = collector.metrics[t.EXECUTIONS_CREATED]
    assert [point.as_double or point.as_int for point in created.sum.data_points] == [4]
    assert created.description == t.EXECUTIONS_CREATED.description
    delay = collector.metrics[t.START_DELAY].histogram.data_points[0]
    assert (delay.count, sum(delay.bucket_counts), delay.max) == (3, 3, 2.0)
    await work.stop()


async def test_metrics_need_the_key(reporting: tuple[Api, Collector]) -> None:
    """As every address does that tells something of the environment."""
    api, _ = reporting
    answer = await api.client.get("/metrics", headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_a_view_of_postgres_and_of_sqlite_counts_the_same(api: Api, environment: Names) -> None:
    """The gauges are SQL."""
    await fill(api, environment)
    found = await complete(api)
    assert found['penstock_executions_open{function="add",state="queued"}'] == 2
    assert found['penstock_executions_open{function="add",state="running"}'] == 1
