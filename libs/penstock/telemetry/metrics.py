"""Counts, gauges and histograms of one process, and their text in the Prometheus format."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from penstock.domain.limits import metric_series_max
from penstock.telemetry.names import METRICS, Metric

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
"""Upper bounds of the buckets of histograms, in seconds."""
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"

Labels = tuple[str, ...]
"""Values in the order of the metric's label names."""


class Distribution:
    """The values of one series of a histogram."""

    __slots__ = ("buckets", "count", "high", "low", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.count = 0
        self.total = 0.0
        self.low = float("inf")
        self.high = float("-inf")

    def add(self, value: float) -> None:
        self.buckets[bisect_left(BOUNDS, value)] += 1
        self.count += 1
        self.total += value
        if value < self.low:
            self.low = value
        if value > self.high:
            self.high = value


class Series(NamedTuple):
    """What is known of one metric."""

    metric: Metric
    numbers: Mapping[Labels, float]
    distributions: Mapping[Labels, Distribution]


class Meter:
    """Keeps the numbers. Counters begin at 0 with the process."""

    def __init__(self) -> None:
        self._numbers: dict[Metric, dict[Labels, float]] = {each: {} for each in METRICS if each.kind != "histogram"}
        self._distributions: dict[Metric, dict[Labels, Distribution]] = {
            each: {} for each in METRICS if each.kind == "histogram"
        }

    def count(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        series = self._numbers[metric]
        if labels not in series:
            labels = _bounded(series, labels)
        series[labels] = series.get(labels, 0) + by

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """One more value of a histogram."""
        series = self._distributions[metric]
        known = series.get(labels)
        if known is None:
            known = series.setdefault(_bounded(series, labels), Distribution())
        known.add(value)

    def set(self, metric: Metric, values: Mapping[Labels, float]) -> None:
        """All series of a gauge at once: those that are not among them are gone."""
        self._numbers[metric] = dict(list(values.items())[:metric_series_max])

    def series(self) -> Iterator[Series]:
        """Every metric, also those without a value yet."""
        for metric in METRICS:
            yield Series(metric, self._numbers.get(metric, {}), self._distributions.get(metric, {}))

    def text(self) -> str:
        """All of it as Prometheus reads it."""
        lines: list[str] = []
        for metric, numbers, distributions in self.series():
            lines += [f"# HELP {metric} {_help(metric.description)}", f"# TYPE {metric} {metric.kind}"]
            lines += [f"{metric}{_labels(metric, key)} {value:.15g}" for key, value in numbers.items()]
            for key, distribution in distributions.items():
                lines += _distribution_lines(metric, key, distribution)
        return "\n".join(lines) + "\n"


def _bounded(series: Mapping[Labels, object], labels: Labels) -> Labels:
    if labels in series or len(series) < metric_series_max - 1:
        return labels
    return (OTHER,) * len(labels)


def _distribution_lines(metric: Metric, key: Labels, distribution: Distribution) -> Iterator[str]:
    so_far = 0
    for bound, count in zip((*BOUNDS, "+Inf"), distribution.buckets, strict=True):
        so_far += count
        edge = bound if isinstance(bound, str) else f"{bound:g}"
        yield f"{metric}_bucket{_labels(metric, key, edge)} {so_far}"
    yield f"{metric}_sum{_labels(metric, key)} {distribution.total:.15g}"
    yield f"{metric}_count{_labels(metric, key)} {distribution.count}"


def _labels(metric: Metric, key: Labels, edge: str | None = None) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, key, strict=True)]
    if edge is not None:
        pairs.append(f'le="{edge}"')
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
