"""The functions of the conformance suite as `async def`."""

import asyncio
import os
import sys
import time
from typing import Any

from penstock import App, RetryAfter, Terminal

app = App("conformance")


@app.function
async def echo(*values: Any) -> list[Any]:
    return list(values)


@app.function
async def fail(message: str) -> None:
    raise ValueError(message)


@app.function
async def give_up(message: str) -> None:
    raise Terminal(message)


@app.function
async def retry_in(seconds: float) -> None:
    raise RetryAfter(seconds)


@app.function
async def shout(text: str) -> None:
    print(text)
    print(text, file=sys.stderr)
    print(text, end="")


@app.function
async def large(size: int) -> str:
    return "x" * size


@app.function
async def unstorable() -> Any:
    return object()


@app.function
async def relay(value: Any) -> Any:
    execution = await echo.enqueue(value)
    return await execution.result()


@app.function
async def endless() -> None:
    print("waiting")
    await asyncio.Event().wait()


@app.function
async def deaf() -> None:
    while True:
        time.perf_counter()


@app.function
async def die() -> None:
    print("dying")
    os._exit(3)


@app.cron("0 2 * * *", retries=2)
async def nightly() -> None: ...
