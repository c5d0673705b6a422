"""Functions that wait: for a time, for events, for children."""

import asyncio
from pathlib import Path

from penstock import App, Context, Event, ExecutionFailed, wait

app = App("waits")


def note(path: str, word: str) -> str:
    with open(path, "a") as file:
        file.write(f"{word}\n")
    return word


@app.function
async def nap(ctx: Context, path: str, seconds: float) -> int:
    await ctx.step("before", note, path, "before")
    await ctx.sleep(seconds)
    await ctx.step("after", note, path, "after")
    return ctx.attempt


@app.function
def nap_sync(ctx: Context, path: str, seconds: float) -> int:
    ctx.step("before", note, path, "before")
    ctx.sleep(seconds)
    ctx.step("after", note, path, "after")
    return ctx.attempt


@app.function
async def approval(ctx: Context, doc: int, timeout: str = "1m", look_back: str = "0s") -> object:
    event = await ctx.wait_for_event("doc.approved", match={"doc": doc}, timeout=timeout, look_back=look_back)
    return None if event is None else [event.name, event.data]


@app.function
async def busy_first(ctx: Context, doc: int, path: str) -> object:
    """Waits only when the file is there."""
    while not Path(path).exists():
        await asyncio.sleep(0.02)
    event = await ctx.wait_for_event("doc.approved", match={"doc": doc})
    return event.data


@app.function
async def both(ctx: Context, doc: int) -> object:
    """Stays busy beside its wait, so that it is told while it runs."""
    waiting = asyncio.ensure_future(ctx.wait_for_event("doc.approved", match={"doc": doc}))
    while not waiting.done():
        await asyncio.sleep(0.02)
    return (await waiting).data


@app.function
async def add(a: int, b: int) -> int:
    return a + b


@app.function
async def boom() -> None:
    raise ValueError("boom")


@app.function
async def shares(ctx: Context, key: str) -> int:
    """Calls a child that others may have called."""
    return int(await ctx.call(slow_add.options(idempotency_key=key), 1, 2))


@app.function
async def slow_add(ctx: Context, a: int, b: int) -> int:
    await ctx.wait_for_event("go", match={"name": "slow_add"}, look_back="1h")
    return a + b


@app.function
async def long_sleep(ctx: Context) -> None:
    await ctx.sleep("1h")


@app.function
async def family(ctx: Context, count: int) -> list[object]:
    """A child, many children, and one that fails."""
    one = await ctx.call(add, 1, 2)
    many = await ctx.call_many(add, [(number, number) for number in range(count)])
    try:
        await ctx.call(boom)
    except ExecutionFailed as error:
        return [one, sum(many), error.code]
    return []


@app.function
async def generations(ctx: Context, depth: int) -> None:
    """A line of descendants, of which the last sleeps."""
    await (ctx.call(generations, depth - 1) if depth else ctx.call(long_sleep))


@app.function
async def first(ctx: Context) -> list[object]:
    found = await ctx.wait_for_any(wait.call(long_sleep), wait.event("doc.refused"), wait.sleep("1h"))
    return [found.which, found.value.data]


@app.function(concurrency=1)
async def one_at_a_time(ctx: Context, name: str, path: str) -> str:
    await ctx.step("in", note, path, f"in {name}")
    await ctx.wait_for_event("go", match={"name": name})
    return name


@app.function(fifo=True)
async def in_order(ctx: Context, name: str, path: str) -> str:
    await ctx.step("in", note, path, f"in {name}")
    await ctx.wait_for_event("go", match={"name": name})
    await ctx.step("out", note, path, f"out {name}")
    return name


def extract(doc: str) -> str:
    return f"{doc}, page one\f{doc}, page two"


@app.function
async def summarise(page: str) -> str:
    return page[:4]


@app.function
async def review(ctx: Context, doc: str) -> str:
    text = await ctx.step("extract", extract, doc)
    await ctx.sleep("1h")
    pages = await ctx.call_many(summarise, text.split("\f"))
    event = await ctx.wait_for_event("doc.approved", match={"doc": doc}, timeout="7d")
    return "nobody cared" if event is None else f"{event.data['by']}: {len(pages)} pages"


@app.function
async def mourn(event: Event) -> str:
    return str(event.data["execution"]["id"])
