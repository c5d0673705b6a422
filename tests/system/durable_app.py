"""Durable functions as users write them."""

import asyncio
from pathlib import Path
from typing import Any

from penstock import App, Context, Event, Fixed, StepFailed, TokenRejected, wait

app = App("durable", version="1")


@app.function
async def add(a: int, b: int) -> int:
    return a + b


@app.function
async def hangs() -> None:
    await asyncio.Event().wait()


@app.function
async def everything(ctx: Context) -> dict[str, Any]:
    one = await ctx.step("one", lambda: 1)
    before = ctx.now()
    await ctx.sleep("300ms")
    total = await ctx.call(add, one, 2)
    many = await ctx.call_many(add, [(1, 2), (3, 4), {"a": 5, "b": 6}])
    first = await ctx.wait_for_any(wait.call(hangs), wait.sleep("100ms"))
    return {
        "total": total, "many": many, "first": list(first), "attempt": ctx.attempt,
        "slept": ctx.now() > before, "same": [ctx.random(), str(ctx.uuid())],
    }  # fmt: skip


@app.function
def everything_plainly(ctx: Context) -> dict[str, Any]:
    one = ctx.step("one", lambda: 1)
    ctx.sleep("300ms")
    total = ctx.call(add, one, 2)
    many = ctx.call_many(add, [(1, 2), (3, 4)])
    first = ctx.wait_for_any(wait.sleep("1h"), wait.call(add, 7, 8))
    return {"total": total, "many": many, "first": list(first), "attempt": ctx.attempt}


@app.function
async def side_by_side(ctx: Context) -> list[Any]:
    async def nap(duration: str) -> str:
        await ctx.sleep(duration)
        return duration

    async def slow(value: int) -> int:
        await asyncio.sleep(0.2)
        return value

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(nap("400ms")), group.create_task(ctx.step("slow", slow, 1))]
    gathered = await asyncio.gather(nap("100ms"), nap("200ms"), ctx.step("slow", slow, 2))
    completed = [await one for one in asyncio.as_completed([ctx.step("slow", slow, 3), nap("50ms")])]
    return [*(task.result() for task in tasks), *gathered, *sorted(map(str, completed))]


@app.function
async def approval(ctx: Context, doc: str) -> dict[str, Any] | None:
    await asyncio.sleep(0.3)  # what comes meanwhile counts
    event: Event | None = await ctx.wait_for_event("doc.approved", match={"doc": doc, "by.role": "lead"}, timeout="10s")
    return event.data if event is not None else None


@app.function
async def asks_somebody(ctx: Context, path: str) -> str:
    token = await ctx.create_token("ok")
    await ctx.step("tell", Path(path).write_text, token.url)
    try:
        answer = await ctx.wait_for_token(token, timeout="20s")
    except TokenRejected as no:
        return f"no: {no}"
    return f"yes: {answer}"


@app.function
async def listens(ctx: Context) -> list[Any]:
    ctx.progress(1, 3, "listening")
    first = await ctx.receive("orders")
    second = await ctx.receive("orders", timeout="10s")
    third = await ctx.receive("orders", timeout="100ms")
    return [first, second, third]


@app.function
async def saga(ctx: Context, folder: str) -> None:
    def note(what: str) -> str:
        with Path(folder, "journal").open("a") as journal:
            journal.write(f"{what}\n")
        return what

    def undo(what: str) -> None:
        note(f"undo {what}")

    await ctx.step("hotel", note, "hotel", undo=undo)
    await ctx.sleep("100ms")
    await ctx.step("flight", note, "flight", undo=undo)
    await ctx.step("seat", note, "seat")
    if not Path(folder, "wait").exists():
        raise ValueError("no money")
    await ctx.sleep("1h")


@app.function(pause_on_failure=True)
async def pauses(ctx: Context, path: str) -> str:
    await ctx.step("before", lambda: 1)
    if not Path(path).exists():
        raise ValueError("mend me")
    return "mended"


@app.function
async def retries_a_step(ctx: Context, path: str) -> list[Any]:
    def flaky() -> str:
        with Path(path).open("a") as journal:
            journal.write(f"{ctx.step_key}\n")
        if len(Path(path).read_text().split()) < 3:
            raise ValueError("not yet")
        return "done"

    def hopeless() -> None:
        raise ValueError("never")

    done = await ctx.step("flaky", flaky, retry=5, backoff=Fixed("50ms"))
    try:
        await ctx.step("hopeless", hopeless, retry=1, backoff=Fixed("50ms"))
    except StepFailed as failed:
        return [done, failed.message, ctx.attempt]
    return []


@app.function
async def parent_of_hanging(ctx: Context) -> None:
    await ctx.call_many(hangs, [(), ()])


@app.function
async def notice(event: Event, ctx: Context) -> list[Any]:
    ended = event.data["execution"]
    if ended["function"] == "notice":
        raise RuntimeError("a hook of a hook")
    return [event.name, ended["id"], (ended["error"] or {}).get("message"), event.data.get("result")]


@app.function(on_failure=notice, on_success="notice", on_cancel=notice)
async def watched(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number


@app.function
async def reports(ctx: Context) -> int:
    for number in range(3):
        ctx.progress(number, 3)
        await ctx.sleep("1s")
    return 3
