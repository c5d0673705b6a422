"""Whether traces are exported: the standard OTEL_* variables alone decide it, before OpenTelemetry is imported."""

import os
from collections.abc import Mapping

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
DISABLED = "OTEL_SDK_DISABLED"
EXPORTER = "OTEL_TRACES_EXPORTER"


def is_on(environ: Mapping[str, str] = os.environ) -> bool:
    """True with an endpoint, unless the SDK is disabled or the exporter of traces is `none`."""
    if environ.get(DISABLED, "").strip().lower() == "true" or environ.get(EXPORTER, "").strip() == "none":
        return False
    return any(environ.get(name, "").strip() for name in ENDPOINTS)
