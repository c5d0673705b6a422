"""A real Jaeger v2 with the configuration of the compose file, and its traces as trees."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock_process import free_port, until

CONFIGURATION = Path(__file__).parent.parent / "infra" / "compose" / "jaeger"


@dataclass
class Span:
    """A span as Jaeger answers with it."""

    id: str
    name: str
    service: str
    parent: str
    start: int
    duration: int
    tags: dict[str, Any]
    links: list[str]
    """Ids of linked traces."""
    events: list[dict[str, Any]]
    children: list["Span"] = field(default_factory=list)

    @property
    def is_error(self) -> bool:
        return self.tags.get("otel.status_code") == "ERROR" and self.tags.get("error") is True


class Jaeger:
    """Where it takes spans and where it answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.otlp_port, self.port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.otlp_port}"

    def start(self, page_url: str) -> None:
        """Start it with an empty store; links lead to `page_url`."""
        store = self._folder / "jaeger"
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        ui = (CONFIGURATION / "ui.json").read_text().replace("http://localhost:8700", page_url)
        (store / "ui.json").write_text(ui)
        environment = {
            **os.environ,
            "JAEGER_STORE": str(store),
            "JAEGER_UI": str(store / "ui.json"),
            "JAEGER_OTLP_PORT": str(self.otlp_port),
            "JAEGER_UI_PORT": str(self.port),
            "JAEGER_GRPC_PORT": str(free_port()),
            "JAEGER_HEALTH_PORT": str(free_port()),
        }
        with (self._folder / "jaeger.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["jaeger", "--config", CONFIGURATION / "jaeger.yaml"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(lambda: self._ask("/api/services") is not None, 30)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                # A browser that still looks at it keeps it up.
                self._process.kill()
                self._process.wait(10)

    def services(self) -> set[str]:
        return set(self._ask("/api/services")["data"] or ())

    def spans(self, trace_id: str) -> dict[str, Span]:
        """Span id -> span; empty while there is no such trace."""
        answer = self._ask(f"/api/traces/{trace_id}")
        if answer is None:
            return {}
        (trace,) = answer["data"]
        services = {key: each["serviceName"] for key, each in trace["processes"].items()}
        return {each["spanID"]: _span(each, services) for each in trace["spans"]}

    def _ask(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return None


def _span(raw: dict[str, Any], services: dict[str, str]) -> Span:
    references = raw.get("references") or []
    parents = [each["spanID"] for each in references if each["refType"] == "CHILD_OF"]
    return Span(
        id=raw["spanID"],
        name=raw["operationName"],
        service=services[raw["processID"]],
        parent=parents[0] if parents else "",
        start=raw["startTime"],
        duration=raw["duration"],
        tags={each["key"]: each["value"] for each in raw["tags"]},
        links=[each["traceID"] for each in references if each["refType"] == "FOLLOWS_FROM"],
        events=[{each["key"]: each["value"] for each in log["fields"]} for log in raw.get("logs") or []],
    )


def roots(spans: dict[str, Span]) -> list[Span]:
    """The spans without a parent in the trace, with their children below them in the order of time."""
    for span in spans.values():
        span.children = sorted((each for each in spans.values() if each.parent == span.id), key=lambda each: each.start)
    return [span for span in spans.values() if span.parent not in spans]


def drawn(span: Span, depth: int = 0) -> str:
    """The tree below a span, one line each."""
    marks = " ERROR" if span.is_error else ""
    marks += f" -> {', '.join(each[:8] for each in span.links)}" if span.links else ""
    line = f"{'  ' * depth}{span.name}  [{span.service}] {span.duration / 1000:.1f} ms{marks}"
    return "\n".join([line, *(drawn(each, depth + 1) for each in span.children)])


@contextmanager
def running_jaeger(folder: Path, page_url: str) -> Iterator[Jaeger]:
    """A Jaeger of one's own, gone afterwards."""
    jaeger = Jaeger(folder)
    try:
        jaeger.start(page_url)
        yield jaeger
    finally:
        jaeger.stop()
