"""Python functions that the Defer clients call by name."""

import asyncio
import time
from pathlib import Path

from penstock import App, Context

app = App("defer")


@app.function
def add(a: int, b: int) -> int:
    return a + b


@app.function
async def stays() -> None:
    """Started until it is stopped, by force and with its process: nothing else runs in that."""
    await asyncio.sleep(3600)


def reserve(place: str) -> str:
    return place


def give_back(place: str) -> None:
    """As soon as a file of that name is there."""
    deadline = time.monotonic() + 30
    while not Path(place).exists():
        assert time.monotonic() < deadline, place
        time.sleep(0.02)


@app.function
def book(ctx: Context, place: str) -> None:
    """Holds a place; giving it back takes a while, and an abort is in progress for as long."""
    ctx.step("reserve", reserve, place, undo=give_back)
    ctx.sleep("1h")
