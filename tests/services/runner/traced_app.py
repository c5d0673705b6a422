"""Functions that ask OpenTelemetry where they are."""

from opentelemetry import trace

from penstock import App

app = App("traced")


def where() -> list[str]:
    span = trace.get_current_span().get_span_context()
    return [f"{span.trace_id:032x}", f"{span.span_id:016x}"]


@app.function
async def traced() -> list[str]:
    return where()


@app.function
def traced_sync() -> list[str]:
    return where()
