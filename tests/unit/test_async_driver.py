"""When code on an event loop opens its waits and may be suspended, with a runner that answers when the test says so."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from penstock.functions import async_driver
from penstock.functions.actions import AnyAction, OpenWaits
from penstock.functions.async_driver import AsyncDriver
from penstock.functions.context import current_attempt
from penstock.functions.history import History, Place
from penstock.functions.idle import register_tasks
from penstock.functions.operations import sleep

SECONDS = 5.0
Body = Callable[["Runner"], Awaitable[Any]]


class Runner:
    """Takes actions; an answer is given when `answers` is set."""

    def __init__(self) -> None:
        self.history = History("e1", {}, 0)
        self.driver = AsyncDriver(self.history, self._do, compensating=False)
        self.asked: list[OpenWaits] = []
        self.came = asyncio.Event()
        self.answers = asyncio.Event()
        self.end = threading.Event()

    async def _do(self, action: AnyAction) -> None:
        assert isinstance(action, OpenWaits)
        self.asked.append(action)
        self.came.set()
        await self.answers.wait()

    async def sleep(self, key: str) -> None:
        await self.driver.perform(sleep(self.history, Place(key, 0), 1))

    async def next(self) -> OpenWaits:
        async with asyncio.timeout(SECONDS):
            await self.came.wait()
        self.came.clear()
        return self.asked[-1]


def run(body: Body, test: Callable[[Runner], Awaitable[None]]) -> None:
    async def main() -> None:
        runner = Runner()
        register_tasks(asyncio.get_running_loop(), lambda task: runner.driver.tasks.add(task) if marked() else None)
        runner.driver.task = asyncio.create_task(code(runner))
        await test(runner)
        runner.driver.task.cancel()

    async def code(runner: Runner) -> None:
        current_attempt.set(runner)  # type: ignore[arg-type]
        await runner.driver.body(body, (runner,), {})

    asyncio.run(main())


def marked() -> bool:
    return current_attempt.get() is not None


def test_a_wait_that_begins_while_another_is_being_opened_is_opened_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the first takes: nothing else would ever ask for it."""
    monkeypatch.setattr(async_driver, "LOOK_SECONDS", 0.01)
    second = asyncio.Event()

    async def body(runner: Runner) -> None:
        async def later() -> None:
            await second.wait()
            await runner.sleep("b")

        await asyncio.gather(runner.sleep("a"), later())

    async def test(runner: Runner) -> None:
        assert [each.key for each in (await runner.next()).waits] == ["a"]
        async with asyncio.timeout(SECONDS):
            while runner.driver._later is not None:
                await asyncio.sleep(0)
            second.set()
            while not runner.driver._to_open:
                await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        runner.answers.set()
        assert [each.key for each in (await runner.next()).waits] == ["b"]

    run(body, test)


def test_a_wait_beside_others_is_opened_at_once() -> None:
    """It does not wait for the slow look at code that waits for something else."""
    second = asyncio.Event()

    async def body(runner: Runner) -> None:
        async def later() -> None:
            await second.wait()
            await runner.sleep("b")

        await asyncio.gather(runner.sleep("a"), later())

    async def test(runner: Runner) -> None:
        runner.answers.set()
        await runner.next()
        second.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert [[each.key for each in one.waits] for one in runner.asked] == [["a"], ["b"]]

    run(body, test)


@pytest.mark.parametrize("together", [lambda *each: asyncio.gather(*each), lambda *each: asyncio.wait(set(each))])
def test_code_that_waits_for_a_thread_is_at_work(together: Callable[..., Awaitable[Any]]) -> None:
    """Also where the thread's future is held together with a wait."""

    async def body(runner: Runner) -> None:
        with ThreadPoolExecutor() as pool:
            work = asyncio.get_running_loop().run_in_executor(pool, runner.end.wait, SECONDS)
            await together(asyncio.create_task(runner.sleep("a")), work)

    async def test(runner: Runner) -> None:
        assert not (await runner.next()).suspends
        runner.end.set()

    run(body, test)
