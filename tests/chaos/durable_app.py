"""The durable functions that chaos is let loose on. No two computations of a step have the same result."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from penstock import App, Context, Retry, wait

app = App("chaos")
_noted = os.open(Path(__file__).with_name("effects.jsonl"), os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
SOON = Retry(initial="200ms", factor=1.0, cap="1s", jitter=0.0)
Steps = dict[str, str]


def note(ctx: Context, what: str, value: Any = None) -> None:
    at = time.time_ns() // 1000
    line = {"execution": ctx.execution_id, "attempt": ctx.attempt, "what": what, "value": value, "at": at}
    os.write(_noted, json.dumps(line).encode() + b"\n")


def compute(ctx: Context, name: str) -> str:
    value = f"{name} {time.time_ns()}"
    note(ctx, f"step {name}", value)
    return value


def undo_reserve(value: str) -> None:
    os.write(
        _noted, json.dumps({"execution": "", "attempt": 0, "what": "undo", "value": value, "at": 0}).encode() + b"\n"
    )


@app.function
async def leaf(ctx: Context, key: str) -> str:
    await asyncio.sleep(0.05)
    return f"leaf {key}"


@app.function
def twig(ctx: Context, key: str) -> str:
    ctx.step("bud", compute, ctx, "bud")
    ctx.sleep("300ms")
    ctx.step("bloom", compute, ctx, "bloom")
    return f"twig {key}"


@app.function
async def napping(ctx: Context, key: str) -> str:
    await ctx.sleep("400ms")
    await ctx.step("woke", compute, ctx, "woke")
    await ctx.sleep("400ms")
    return f"napping {key}"


@app.function
async def journey(ctx: Context, key: str) -> dict[str, Any]:
    steps: Steps = {"one": await ctx.step("one", compute, ctx, "one")}
    await ctx.sleep("300ms")
    got = [await ctx.call(leaf, f"{ctx.execution_id}-0")]
    steps["two"] = await ctx.step("two", compute, ctx, "two")
    await ctx.sleep("700ms")
    got += await ctx.call_many(twig, [f"{ctx.execution_id}-{number}" for number in range(3)])
    steps["three"] = await ctx.step("three", compute, ctx, "three")
    return {"steps": steps, "got": got}


@app.function
def journey_sync(ctx: Context, key: str) -> dict[str, Any]:
    steps: Steps = {"one": ctx.step("one", compute, ctx, "one")}
    ctx.sleep("300ms")
    got = [ctx.call(leaf, f"{ctx.execution_id}-0")]
    steps["two"] = ctx.step("two", compute, ctx, "two")
    got += ctx.call_many(twig, [f"{ctx.execution_id}-{number}" for number in range(2)])
    steps["three"] = ctx.step("three", compute, ctx, "three")
    return {"steps": steps, "got": got}


@app.function
async def together(ctx: Context, key: str) -> dict[str, Any]:
    """Steps, a wait and a child side by side."""
    one, two, _, child = await asyncio.gather(
        ctx.step("one", compute, ctx, "one"),
        ctx.step("two", compute, ctx, "two"),
        ctx.sleep("500ms"),
        ctx.call(twig, f"{ctx.execution_id}-0"),
    )
    three = await ctx.step("three", compute, ctx, "three")
    return {"steps": {"one": one, "two": two, "three": three}, "got": [child]}


@app.function
async def expecting(ctx: Context, key: str) -> dict[str, Any]:
    """Two events, of which the second may come before the first is waited for."""
    first = await ctx.wait_for_event("news.first", match={"key": key}, look_back="1h")
    steps = {"one": await ctx.step("one", compute, ctx, "one")}
    second = await ctx.wait_for_event("news.second", match={"key": key}, look_back="1h", timeout="10m")
    return {"steps": steps, "got": [first.data["value"], second.data["value"]]}


@app.function
async def chatty(ctx: Context, key: str) -> dict[str, Any]:
    got = [await ctx.receive()]
    steps = {"one": await ctx.step("one", compute, ctx, "one")}
    got.append(await ctx.receive(timeout="10m"))
    return {"steps": steps, "got": sorted(got)}


@app.function
async def asking(ctx: Context, key: str) -> dict[str, Any]:
    token = await ctx.create_token("answer")
    await ctx.sleep("200ms")
    note(ctx, "token", token.id)
    answer = await ctx.wait_for_token(token)
    return {"steps": {"one": await ctx.step("one", compute, ctx, "one")}, "got": [answer]}


@app.function
async def race(ctx: Context, key: str) -> dict[str, Any]:
    """The loser is cancelled; who loses depends on who is killed."""
    first = await ctx.wait_for_any(
        wait.call(napping, f"{ctx.execution_id}-0"),
        wait.sleep("1s"),
        wait.event("news.never", match={"key": key}),
    )
    return {"steps": {"one": await ctx.step("one", compute, ctx, "one")}, "got": [first.which, first.value]}


@app.function(retries=1, backoff=SOON)
async def saga(ctx: Context, key: str) -> None:
    await ctx.step("reserve", compute, ctx, "reserve", undo=undo_reserve)
    await ctx.sleep("200ms")
    await ctx.step("pay", compute, ctx, "pay", undo=undo_reserve)
    await ctx.call(leaf, f"{ctx.execution_id}-0")
    raise ValueError("always")


@app.function(pause_on_failure=True)
async def mending(ctx: Context, key: str) -> dict[str, Any]:
    steps = {"one": await ctx.step("one", compute, ctx, "one")}
    if ctx.attempt == 1:
        raise ValueError("to be mended")
    return {"steps": steps, "got": []}


@app.function
async def sleeper(ctx: Context, key: str) -> None:
    """Longer than any test."""
    await ctx.step("one", compute, ctx, "one")
    await asyncio.gather(ctx.sleep("1h"), ctx.wait_for_event("news.never", match={"key": key}, timeout="2h"))
