"""The functions of the conformance suite as plain `def`."""

import os
import sys
import time
from typing import Any

from penstock import App, RetryAfter, Terminal

app = App("conformance")


@app.function
def echo(*values: Any) -> list[Any]:
    return list(values)


@app.function
def fail(message: str) -> None:
    raise ValueError(message)


@app.function
def give_up(message: str) -> None:
    raise Terminal(message)


@app.function
def retry_in(seconds: float) -> None:
    raise RetryAfter(seconds)


@app.function
def shout(text: str) -> None:
    print(text)
    print(text, file=sys.stderr)
    print(text, end="")


@app.function
def large(size: int) -> str:
    return "x" * size


@app.function
def unstorable() -> Any:
    return object()


@app.function
def relay(value: Any) -> Any:
    return echo.enqueue(value).result()


@app.function
def endless() -> None:
    print("waiting")
    while True:
        time.sleep(60)


@app.function
def deaf() -> None:
    while True:
        time.perf_counter()


@app.function
def die() -> None:
    print("dying")
    os._exit(3)


@app.cron("0 2 * * *", retries=2)
def nightly() -> None: ...
