"""Metrics to OTLP/HTTP by the exporter of the OpenTelemetry SDK: what `/metrics` shows, under the same names.

Import this module only when `switch.metrics_are_on()`. Endpoint and all else come from the standard OTEL_* variables.
"""

import asyncio
import logging
import os
import time

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from penstock.telemetry import names as t
from penstock.telemetry.metrics import BOUNDS, Meter, Series

logger = structlog.get_logger("penstock")

INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
INTERVAL_SECONDS = 60.0


def interval_seconds() -> float:
    """The standard variable counts milliseconds."""
    text = os.environ.get(INTERVAL, "").strip()
    return int(text) / 1000 if text.isdigit() and int(text) > 0 else INTERVAL_SECONDS


class MetricsExport:
    """Sends all numbers of a meter at once. What a collector does not take is part of the next report."""

    def __init__(self, meter: Meter, environment: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._meter = meter
        self._resource = Resource.create({t.SERVICE_NAME: "penstock-query", t.ENVIRONMENT: environment})
        self._exporter = OTLPMetricExporter()
        self._since = time.time_ns()
        self._trouble = False

    async def send(self) -> bool:
        """True when the collector has taken it."""
        data = self.data(time.time_ns())
        taken = await asyncio.to_thread(self._exporter.export, data) is MetricExportResult.SUCCESS
        if taken == self._trouble:
            self._trouble = not taken
            logger.warning("metrics_resumed" if taken else "metrics_refused")
        return taken

    def close(self) -> None:
        """Interrupts a request that is under way."""
        self._exporter.shutdown()

    def data(self, now: int) -> MetricsData:
        """One report."""
        metrics = [self._metric(each, now) for each in self._meter.series() if each.numbers or each.distributions]
        scope = ScopeMetrics(scope=InstrumentationScope(t.SCOPE), metrics=metrics, schema_url="")
        return MetricsData([ResourceMetrics(resource=self._resource, scope_metrics=[scope], schema_url="")])

    def _metric(self, series: Series, now: int) -> Metric:
        metric = series.metric
        data: Sum | Gauge | Histogram
        if metric.kind == "histogram":
            data = Histogram(self._distributions(series, now), AggregationTemporality.CUMULATIVE)
        elif metric.kind == "counter":
            data = Sum(self._points(series, now, self._since), AggregationTemporality.CUMULATIVE, is_monotonic=True)
        else:
            data = Gauge(self._points(series, now, now))
        return Metric(name=str(metric), description=metric.description, unit=metric.unit, data=data)

    def _points(self, series: Series, now: int, since: int) -> list[NumberDataPoint]:
        labels = series.metric.labels
        return [
            NumberDataPoint(dict(zip(labels, key, strict=True)), since, now, value)
            for key, value in series.numbers.items()
        ]

    def _distributions(self, series: Series, now: int) -> list[HistogramDataPoint]:
        return [
            HistogramDataPoint(
                attributes=dict(zip(series.metric.labels, key, strict=True)),
                start_time_unix_nano=self._since,
                time_unix_nano=now,
                count=each.count,
                sum=each.total,
                bucket_counts=list(each.buckets),
                explicit_bounds=BOUNDS,
                min=each.low,
                max=each.high,
            )
            for key, each in series.distributions.items()
        ]
