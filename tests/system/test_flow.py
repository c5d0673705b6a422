"""Flow control end to end: real processes, HTTP and the command line."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from penstock_process import Penstock, free_port, until

APP = """
import asyncio
import time
from penstock import App, Limit, RateLimit, Throttle

app = App("flow")


async def nap(seconds: float) -> float:
    begin = time.time()
    await asyncio.sleep(seconds)
    return begin


@app.function(concurrency=10)
async def a(seconds: float) -> float:
    return await nap(seconds)


@app.function(concurrency=10)
async def b(seconds: float) -> float:
    return await nap(seconds)


@app.function(concurrency=10)
async def c(seconds: float) -> float:
    return await nap(seconds)


@app.function(concurrency=1, concurrency_key="args[0]")
async def keyed(key: str) -> str:
    await asyncio.sleep(0.2)
    return key


@app.function(fifo=True, retries=1)
async def strict(number: int) -> int:
    return number


@app.function(rate_limit=RateLimit(1, "1h"))
async def rare() -> None:
    pass


@app.function(on="order.paid", concurrency=2, concurrency_key="event.data.customer.id")
async def paid() -> None:
    pass
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    """`penstock up` with functions under flow control."""
    folder = tmp_path_factory.mktemp("flow")
    (folder / "flow.py").write_text(APP, encoding="utf-8")
    running = Penstock(folder, ("flow:app",))
    running.start()
    yield running
    running.stop()


def call(product: Penstock, function: str, *args: Any) -> str:
    answer = product.http("POST", f"/v1/functions/{function}/executions", {"args": list(args)})
    return str(answer["id"])
