"""Metrics: what is counted, how it is written, and that dashboard and alerts use names that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from penstock.domain.execution import facts as f
from penstock.domain.limits import metric_series_max
from penstock.ports import LogEntry
from penstock.telemetry import names as t
from penstock.telemetry.metrics import Meter
from penstock.telemetry.switch import metrics_are_on
from penstock.wire.codec import encode_fact
from penstock.wire.names import Names
from penstock_query.counting import Counting
from penstock_query.fold import Known, decoded, folded
from penstock_query.slices import finished
from unit.histories import BOOM, TRACE, enqueued, lost, retry_scheduled, started

NAMES = Names("dev")
INFRA = Path(__file__).parents[2] / "infra"
SECOND = 1_000_000


class Log:
    """Facts of one execution as the projector takes them, in batches."""

    def __init__(self) -> None:
        self.meter = Meter()
        self._counting = Counting(self.meter)
        self._known: dict[str, Known] = {}
        self._sequence = 0

    def batch(self, *facts: f.AnyFact) -> None:
        entries = []
        for fact in facts:
            self._sequence += 1
            subject = NAMES.fact_subject(TRACE, "work", "fact")
            entries.append(LogEntry(self._sequence, subject, encode_fact(fact)))
        batch = decoded(NAMES, entries, self._known)
        changes = folded(batch, self._known)
        finished(self._counting.take(batch, self._known, changes))
        self._known |= changes.touched

    def values(self, metric: t.Metric) -> dict[tuple[str, ...], Any]:
        series = next(each for each in self.meter.series() if each.metric == metric)
        return {key: (each.count, each.total) for key, each in series.distributions.items()} or dict(series.numbers)


HISTORY = (
    enqueued(at=0, run_at=10 * SECOND),
    f.Due(n=2, at=11 * SECOND),
    started(n=3, at=12 * SECOND, activation=2),
    retry_scheduled(n=4, at=13 * SECOND, retry_at=14 * SECOND),
    f.Due(n=5, at=14 * SECOND),
    started(n=6, at=15 * SECOND, activation=5, attempt=2),
    lost(n=7, at=16 * SECOND, attempt=2, activation=5),
    f.Due(n=8, at=16 * SECOND),
    started(n=9, at=17 * SECOND, activation=8, attempt=3),
    f.Failed(n=10, at=20 * SECOND, attempt=3, error=BOOM),
)


@pytest.mark.parametrize("size", [1, 3, len(HISTORY)])
def test_a_history_is_counted_the_same_however_it_is_cut_into_batches(size: int) -> None:
    """The delay of what waited for its time counts from that time."""
    log = Log()
    for start in range(0, len(HISTORY), size):
        log.batch(*HISTORY[start : start + size])
    assert log.values(t.EXECUTIONS_CREATED) == {("work",): 1}
    assert log.values(t.ATTEMPTS_STARTED) == {("work",): 3}
    assert log.values(t.ATTEMPTS_REPEATED) == {("work", "failed"): 1, ("work", "lost"): 1}
    assert log.values(t.EXECUTIONS_FINISHED) == {("work", "failed"): 1}
    assert log.values(t.START_DELAY) == {("work",): (1, 2.0)}
    assert log.values(t.DURATION) == {("work",): (1, 8.0)}


def test_a_histogram_is_written_with_growing_buckets() -> None:
    """Each bucket holds those below it, and the last one all."""
    meter = Meter()
    for value in (0.005, 0.2, 5000.0):
        meter.observe(t.DURATION, value, "work")
    lines = [line for line in meter.text().splitlines() if line.startswith("penstock_execution_duration_seconds")]
    assert lines[0] == 'penstock_execution_duration_seconds_bucket{function="work",le="0.005"} 1'
    assert lines[-4:] == [
        'penstock_execution_duration_seconds_bucket{function="work",le="3600"} 2',
        'penstock_execution_duration_seconds_bucket{function="work",le="+Inf"} 3',
        'penstock_execution_duration_seconds_sum{function="work"} 5000.205',
        'penstock_execution_duration_seconds_count{function="work"} 3',
    ]


def test_label_values_are_escaped() -> None:
    """A name that somebody chose cannot end its line."""
    meter = Meter()
    meter.count(t.EVENTS, 'a"b\\c\nd')
    assert 'penstock_events_total{state="a\\"b\\\\c\\nd"} 1' in meter.text()


def test_series_beyond_the_limit_are_counted_together() -> None:
    """Nothing is lost, and memory stays bounded."""
    meter = Meter()
    for number in range(metric_series_max + 5):
        meter.count(t.EXECUTIONS_CREATED, f"f{number}")
    numbers = next(each.numbers for each in meter.series() if each.metric == t.EXECUTIONS_CREATED)
    assert len(numbers) == metric_series_max
    assert (numbers["other",], sum(numbers.values())) == (6, metric_series_max + 5)


def test_every_metric_says_what_it_means() -> None:
    """Counters end in `_total` and seconds in `_seconds`, as Prometheus wants it."""
    assert all(metric.description.endswith(".") and metric.startswith("penstock_") for metric in t.METRICS)
    assert all(metric.endswith("_total") == (metric.kind == "counter") for metric in t.METRICS)
    assert all(metric.endswith("_seconds") == (metric.unit == "s") for metric in t.METRICS)
    assert not {"execution", "execution_id", "key"} & {label for metric in t.METRICS for label in metric.labels}


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/penstock.json"])
def test_dashboard_and_alerts_use_registered_metrics_and_labels_only(file: str) -> None:
    """A name that was changed in one place would leave a panel empty without a word."""
    text = (INFRA / file).read_text()
    used = set(re.findall(r"penstock_[a-z_]+", text))
    known = {str(metric) for metric in t.METRICS}
    known |= {f"{metric}_bucket" for metric in t.METRICS if metric.kind == "histogram"}
    assert used
    assert used <= known
    labels = {label for metric in t.METRICS for label in metric.labels} | {"le"}
    for found in re.findall(r"(?:by|on) \(([a-z, ]+)\)", text):
        assert set(found.split(", ")) <= labels


def test_the_dashboard_shows_every_metric() -> None:
    """And is JSON."""
    panels = json.loads((INFRA / "grafana" / "penstock.json").read_text())["panels"]
    shown = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    assert [metric for metric in t.METRICS if metric not in shown] == []


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_METRICS_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_switch_the_export(environ: dict[str, str], on: bool) -> None:
    """Off without an endpoint."""
    assert metrics_are_on(environ) is on
