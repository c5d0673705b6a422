"""Functions that note in a file what they compute, one line each."""

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
    return [await ctx.step(name, _note, journal, name) for name in ("one", "two", "three")]
