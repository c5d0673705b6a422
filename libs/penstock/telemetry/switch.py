"""Whether traces and metrics are exported: the standard OTEL_* variables decide, before OpenTelemetry is imported."""

import os
from collections.abc import Mapping

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
METRICS_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
METRICS_EXPORTER = "OTEL_METRICS_EXPORTER"
DISABLED = "OTEL_SDK_DISABLED"
EXPORTER = "OTEL_TRACES_EXPORTER"


def is_on(environ: Mapping[str, str] = os.environ) -> bool:
    """True with an endpoint, unless the SDK is disabled or the exporter of traces is `none`."""
    return _is_on(environ, EXPORTER, ENDPOINTS)


def has_endpoint(environ: Mapping[str, str] = os.environ) -> bool:
    """True where an address for traces is given, whether they are exported by themselves or not."""
    return any(environ.get(name, "").strip() for name in ENDPOINTS)


def metrics_are_on(environ: Mapping[str, str] = os.environ) -> bool:
    """The same for metrics and their own variables."""
    return _is_on(environ, METRICS_EXPORTER, METRICS_ENDPOINTS)


def _is_on(environ: Mapping[str, str], exporter: str, endpoints: tuple[str, ...]) -> bool:
    if environ.get(DISABLED, "").strip().lower() == "true" or environ.get(exporter, "").strip() == "none":
        return False
    return any(environ.get(name, "").strip() for name in endpoints)
