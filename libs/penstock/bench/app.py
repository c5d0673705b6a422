"""The functions that the benchmark runs: nothing at all, three steps of nothing, and when did you start."""

import asyncio
import time

from penstock import App, Context

app = App("bench")


@app.function
async def noop(number: int) -> int:
    return number


@app.function
def plain(number: int) -> int:
    return number


@app.function
async def clock(sent_ns: int) -> int:
    """Nanoseconds from the caller's clock reading to the first line of user code."""
    return time.time_ns() - sent_ns


@app.function
def plain_clock(sent_ns: int) -> int:
    """The same in a process of its own."""
    return time.time_ns() - sent_ns


async def _same(number: int) -> int:
    return number


@app.function
async def three_steps(ctx: Context, number: int) -> int:
    for _ in range(3):
        number = await ctx.step("add", _same, number)
    return number


@app.function(concurrency=1)
async def parked(number: int) -> int:
    """Keeps its place while executions pile up behind it: what is measured then is the door alone."""
    await asyncio.sleep(3600)
    return number
