"""Functions that worker processes run in tests: well behaved and not."""

import asyncio
import ctypes
import dataclasses
import logging
import os
import sys
import time
from pathlib import Path

from penstock import App, Context, Event, Fixed, RetryAfter, Terminal

app = App("sample")


@dataclasses.dataclass
class Order:
    id: int
    note: str = ""


@app.function
async def add(a: int, b: int) -> int:
    return a + b


@app.function
def add_sync(a: int, b: int) -> int:
    return a + b


@app.function
async def price(order: Order) -> Order:
    return Order(order.id * 2, order.note)


@app.function(retries=2, backoff=Fixed("50ms"))
async def second_time(ctx: Context) -> int:
    if ctx.attempt < 2:
        raise ValueError("not yet")
    return ctx.attempt


@app.function(retries=5)
async def terminal() -> None:
    raise Terminal("no use")


@app.function(retries=1)
async def later() -> None:
    raise RetryAfter("2h", "busy")


@app.function(timeout=0.3)
async def sleeps() -> None:
    await asyncio.sleep(60)


@app.function(timeout=0.3)
def sleeps_sync() -> None:
    time.sleep(60)


@app.function(timeout=0.3)
async def blocks() -> None:
    time.sleep(60)


@app.function
async def exits() -> None:
    os._exit(3)


@app.function
def segfaults() -> None:
    print("about to fall")
    ctypes.string_at(0)


@app.function
def leaves() -> None:
    sys.exit(3)


@app.function(memory="64MB", retries=3)
def eats_memory() -> int:
    return len(bytearray(500_000_000))


@app.function
async def not_json() -> object:
    return {1, 2}


class Unprintable(Exception):  # noqa: N818 - its name is part of a claim
    def __str__(self) -> str:
        raise RuntimeError("no")


@app.function
async def unprintable() -> None:
    raise Unprintable


@app.function
async def talks(ctx: Context) -> None:
    print("one")
    print("two", file=sys.stderr)
    ctx.logger.info("three")
    logging.getLogger("mine").warning("four")
    sys.stdout.write("five")


@app.function
def talks_sync(ctx: Context) -> None:
    print("one")
    ctx.logger.info("two")
    os.write(1, b"three\n")


@app.function
async def chatters() -> None:
    for number in range(15_000):
        print(number)


@app.function
def chatters_sync() -> None:
    for number in range(15_000):
        print(number)
    sys.stdout.write("x" * 50_000_000)


@app.function
async def parent(ctx: Context) -> str:
    child = await add.enqueue(1, 2)
    return child.id


@app.function
def parent_sync() -> list[object]:
    child = add.options(metadata={"by": "parent"}).enqueue(1, 2)
    return [child.id, child.result(timeout="10s")]


@app.function
async def large(size: int) -> str:
    return "x" * size


@app.function(retries=1, backoff=Fixed("50ms"))
async def steps(ctx: Context, journal: str) -> list[int]:
    def note(value: int) -> int:
        with open(journal, "a") as file:
            file.write(f"{value}\n")
        return value * 10

    found = [await ctx.step("note", note, value) for value in range(3)]
    if ctx.attempt == 1:
        raise ValueError("after the steps")
    return found


@app.function
def steps_sync(ctx: Context) -> int:
    return int(ctx.step("one", add_sync, 1, 2)) + int(ctx.step("one", add_sync, 3, 4))


@app.function
async def gathered(ctx: Context) -> list[int]:
    return list(await asyncio.gather(*(ctx.step("part", add, value, 1) for value in range(5))))


@app.function(concurrency=1)
async def one_by_one(journal: str) -> None:
    path = Path(journal)
    with path.open("a") as file:
        file.write("in\n")
    await asyncio.sleep(0.02)
    with path.open("a") as file:
        file.write("out\n")


@app.function
async def gate(path: str) -> str:
    """Ends when the file exists."""
    while not Path(path).exists():
        await asyncio.sleep(0.02)
    return "open"


@app.function
def gate_sync(path: str) -> str:
    """Ends when the file exists."""
    while not Path(path).exists():
        time.sleep(0.02)
    return "open"


@app.function
async def environment() -> dict[str, str]:
    return dict(os.environ)


@app.function(on="user.signup")
async def welcome(event: Event) -> str:
    return f"{event.name} {event.data['name']}"


if os.environ.get("BROKEN_APP"):
    raise ImportError("broken on purpose")
