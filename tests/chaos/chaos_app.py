"""The app that chaos is let loose on: each function notes what it does in a file beside it, one line per write."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from penstock import App, Context, Event, Retry

app = App("chaos")
_noted = os.open(Path(__file__).with_name("effects.jsonl"), os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
SOON = Retry(initial="200ms", factor=1.0, cap="1s", jitter=0.0)


def note(ctx: Context, what: str) -> None:
    line = {"execution": ctx.execution_id, "attempt": ctx.attempt, "what": what, "at": time.time_ns() // 1000}
    os.write(_noted, json.dumps(line).encode() + b"\n")


@app.function
async def plain(ctx: Context, key: str) -> str:
    note(ctx, "run")
    return key


@app.function
def plain_sync(ctx: Context, key: str) -> str:
    note(ctx, "run")
    return key


@app.function
def slow_sync(ctx: Context, key: str) -> str:
    note(ctx, "run")
    time.sleep(0.5)
    return key


@app.function(retries=5, backoff=SOON)
async def flaky(ctx: Context, key: str) -> str:
    note(ctx, "run")
    if ctx.attempt < 3:
        raise ValueError("not yet")
    return key


@app.function(retries=1, backoff=SOON)
def hopeless(ctx: Context, key: str) -> None:
    note(ctx, "run")
    raise ValueError("never")


def _compute(ctx: Context, name: str) -> str:
    note(ctx, f"step {name}")
    return name


@app.function
async def stepped(ctx: Context, key: str) -> list[str]:
    done = []
    for name in ("one", "two", "three"):
        done.append(await ctx.step(name, _compute, ctx, name))
        await asyncio.sleep(0.3)
    return done


@app.function
def stepped_sync(ctx: Context, key: str) -> list[str]:
    done = []
    for name in ("one", "two", "three"):
        done.append(ctx.step(name, _compute, ctx, name))
        time.sleep(0.1)
    return done


@app.function
async def parent(ctx: Context, key: str) -> list[str]:
    note(ctx, "run")
    names = [f"child-{ctx.execution_id}-{number}" for number in range(2)]
    children = [await plain.options(idempotency_key=name).enqueue(name) for name in names]
    return [child.id for child in children]


@app.function(on="chaos.happened")
async def hear(event: Event) -> Any:
    return event.data


@app.function(on="chaos.*")
def hear_sync(event: Event) -> Any:
    return event.data


@app.every("2s", catch_up="all")
async def tick(event: Event) -> Any:
    return event.data
