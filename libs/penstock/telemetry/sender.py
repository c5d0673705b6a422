"""One batch of spans to a collector, by OTLP over HTTP with the exporter of the OpenTelemetry SDK.

The endpoint and all else come from the standard OTEL_* variables, unless an endpoint is given.
"""

import logging
from collections.abc import Callable, Sequence
from enum import Enum

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from penstock.telemetry.encode import EncodedSpan
from penstock.telemetry.request import Encoder

TRACES_PATH = "/v1/traces"
REFUSALS = frozenset({400, 413, 422})
"""What a collector answers to spans that it will not take later either: malformed, or too large a request."""


class Verdict(Enum):
    """`LATER`: nobody answered, or somebody who may take them at another time."""

    TAKEN = "taken"
    LATER = "later"
    REFUSED = "refused"


class SpanSender:
    """Sends. `problem` says what was wrong last; `endpoint` is where everything goes."""

    def __init__(self, environment: str, endpoint: str | None = None) -> None:
        # The exporter reports every failed try with a traceback; we say it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._encoder = Encoder(environment)
        self._exporter = OTLPSpanExporter(endpoint=traces_url(endpoint) if endpoint is not None else None)
        self.endpoint: str = self._exporter._endpoint
        self.problem = ""

    def send(self, batch: Sequence[EncodedSpan]) -> Verdict:
        """One request; short retries are part of it."""
        # The exporter behind its encoder: headers, compression, TLS, time-outs and short retries.
        result = self._exporter._client.export(self._encoder.encode(batch))
        if result.success:
            return Verdict.TAKEN
        status = result.status_code
        self.problem = f"HTTP {status} {result.reason or ''}".strip() if status else _reason(result.error)
        return Verdict.REFUSED if status in REFUSALS else Verdict.LATER

    def close(self) -> None:
        """End a request under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def traces_url(endpoint: str) -> str:
    """The address for traces: what is given, with the standard path unless it is there already."""
    plain = endpoint.rstrip("/")
    return plain if plain.endswith(TRACES_PATH) else plain + TRACES_PATH


def well_formed(send: Callable[[Sequence[EncodedSpan]], Verdict], batch: Sequence[EncodedSpan]) -> int | None:
    """Send a refused batch in parts; answers with how many spans were taken.

    None if it has to be offered again as a whole: the collector takes neither the first nor the last span alone, so
    that the fault is not in the spans, or it has gone meanwhile.
    """
    ends = (batch[0], batch[-1])
    if len(batch) == 1 or all(send([span]) is not Verdict.TAKEN for span in ends):
        return None
    return _in_parts(send, batch)


def _in_parts(send: Callable[[Sequence[EncodedSpan]], Verdict], batch: Sequence[EncodedSpan]) -> int | None:
    middle = len(batch) // 2
    taken = 0
    for part in (batch[:middle], batch[middle:]):
        verdict = send(part)
        if verdict is Verdict.LATER:
            return None
        if verdict is Verdict.TAKEN:
            taken += len(part)
        elif len(part) > 1:
            found = _in_parts(send, part)
            if found is None:
                return None
            taken += found
    return taken


def _reason(error: object) -> str:
    return f"no answer ({type(error).__name__})" if error is not None else "no answer"
