"""Functions that record spans with a real SDK of OpenTelemetry, and answer with what they recorded."""

import sys

from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from penstock import App, Context, Fixed

app = App("traced")
recorded = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(recorded))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("shop")


def spans() -> dict[str, list[str]]:
    """Name -> (trace, parent), and forget them."""
    found = {
        span.name: [f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}"]
        for span in recorded.get_finished_spans()
        if span.context is not None and span.parent is not None
    }
    recorded.clear()
    return found


def record(name: str) -> None:
    with tracer.start_as_current_span(name):
        return


@app.function
async def traced(ctx: Context) -> dict[str, list[str]]:
    record("before")

    async def inside() -> None:
        record("inside")

    with tracer.start_as_current_span("around"):
        await ctx.step("load", inside)
        record("within")
    return spans()


@app.function
def traced_sync(ctx: Context) -> dict[str, list[str]]:
    record("before")
    with tracer.start_as_current_span("around"):
        ctx.step("load", record, "inside")
        record("within")
    return spans()


@app.function
async def broken(ctx: Context) -> None:
    async def inside() -> None:
        span = trace.get_current_span().get_span_context().span_id
        raise ValueError(f"{span:016x}")

    await ctx.step("load", inside)


@app.function
def broken_sync(ctx: Context) -> None:
    def inside() -> None:
        span = trace.get_current_span().get_span_context().span_id
        raise ValueError(f"{span:016x}")

    ctx.step("load", inside)


@app.function
async def stubborn(ctx: Context) -> dict[str, list[str]]:
    tries = []

    async def unsure() -> None:
        tries.append(1)
        record(f"try {len(tries)}")
        if len(tries) == 1:
            raise ValueError("not yet")

    await ctx.step("unsure", unsure, retry=Fixed(0))
    return spans()


@app.function
def carried() -> list[object]:
    """What is passed on by whoever calls others from here."""
    state = trace.get_current_span().get_span_context().trace_state
    return [dict(baggage.get_all()), state.to_header()]


@app.function
async def parent(ctx: Context) -> list[object]:
    result: list[object] = await ctx.call(carried)
    return result


SCRIPT = "import json, os; os.write(3, json.dumps(dict(os.environ)).encode())"
app.command("environment", [sys.executable, "-S", "-c", SCRIPT])
