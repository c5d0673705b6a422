"""A collector of our own: receives OTLP over HTTP and decodes the protobuf."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """Spans by (service name, span); refuses them while `is_down`."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[tuple[str, Any]] = []
        self.metrics: dict[str, Any] = {}
        """Name -> the last report of the metric."""
        self.is_down = False
        self.refuses = ""
        """A request with a span of this name is malformed; with `*` every one is."""
        self.refused = 0
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if collector.is_down:
                    collector.refused += 1
                    self.send_response(503)
                elif self.path == "/v1/metrics":
                    collector.take_metrics(ExportMetricsServiceRequest.FromString(body))
                    self.send_response(200)
                else:
                    request = ExportTraceServiceRequest.FromString(body)
                    self.send_response(400 if collector.is_refused(request) else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def is_refused(self, request: Any) -> bool:
        groups = [scope for group in request.resource_spans for scope in group.scope_spans]
        if self.refuses and any(self.refuses in (span.name, "*") for group in groups for span in group.spans):
            self.refused += 1
            return True
        self.take(request)
        return False

    def take(self, request: Any) -> None:
        for resource_spans in request.resource_spans:
            attributes = attributes_of(resource_spans.resource)
            for scope_spans in resource_spans.scope_spans:
                self.received += [(attributes["service.name"], span) for span in scope_spans.spans]

    def take_metrics(self, request: Any) -> None:
        for resource_metrics in request.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                self.metrics |= {metric.name: metric for metric in scope_metrics.metrics}

    def trace(self, trace_id: str) -> dict[str, Any]:
        """Name -> span of one trace."""
        return {span.name: span for _, span in list(self.received) if span.trace_id.hex() == trace_id}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def attributes_of(owner: Any) -> dict[str, Any]:
    """The attributes of a span, an event or a resource as Python values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in owner.attributes}
