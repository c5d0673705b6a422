"""Functions that note in a file what they compute, one line each."""

import asyncio
from pathlib import Path

from penstock import App, Context

app = App("noting")


def _note(journal: str, line: str) -> str:
    with Path(journal).open("a") as file:
        file.write(f"{line}\n")
    return line


@app.function
async def whole(journal: str) -> str:
    return _note(journal, "whole")


@app.function
async def in_steps(ctx: Context, journal: str) -> list[str]:
    return [await ctx.step(f"step-{number}", _note, journal, f"step-{number}") for number in range(10)]


@app.function
def in_steps_sync(ctx: Context, journal: str) -> list[str]:
    return [ctx.step(f"step-{number}", _note, journal, f"step-{number}") for number in range(4)]


@app.function
async def asks_late(journal: str) -> str:
    """Asks for another execution as soon as the file `journal` with `.open` added is there."""
    _note(journal, "waits")
    while not Path(f"{journal}.open").exists():
        await asyncio.sleep(0.01)
    _note(journal, "asks")
    return (await whole.enqueue(journal)).id


@app.function
async def late_steps(ctx: Context, journal: str) -> None:
    """Two steps, the first of which waits for the file `journal` with `.open` added."""

    async def first() -> None:
        _note(journal, "one")
        while not Path(f"{journal}.open").exists():
            await asyncio.sleep(0.01)

    await ctx.step("one", first)
    await ctx.step("two", _note, journal, "two")
