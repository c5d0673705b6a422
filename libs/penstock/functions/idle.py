"""Whether the code of an async attempt is blocked on durable waits alone, so that it may be suspended.

Judged on the side of caution: what waits for anything that is not known here counts as being at work. It then keeps
its slot while it waits, and is woken in its process.
"""

import asyncio
import inspect
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

_JOINING = frozenset({"_wait", "__aexit__", "_aexit", "_wait_for_one"})
"""What asyncio calls its own code that waits for other tasks: wait, TaskGroup, as_completed."""
_JOINED = ("fs", "todo")
"""The names that the futures have there; the tasks of a TaskGroup are known in any case."""
_JOINING_FILES = (asyncio.tasks.__file__, asyncio.taskgroups.__file__)


def is_idle(
    tasks: Iterable["asyncio.Task[Any]"],
    blocked: Collection["asyncio.Future[None]"],
    inner: Callable[["asyncio.Task[Any]"], Any],
) -> bool:
    """True when each task that is not done waits for one of `blocked` or for other tasks, and one of them for the
    former. `inner` gives the coroutine of a task.
    """
    alive = {task for task in tasks if not task.done()}
    known = {*alive, *blocked}
    found = False
    for task in alive:
        # Private, and there since asyncio began; a test holds it to what is said here.
        waiter = task._fut_waiter  # type: ignore[attr-defined]
        if waiter is None or waiter.done():
            return False
        if waiter in blocked:
            found = True
        elif not _is_known(waiter, known) and not _joins(inner(task), known):
            return False
    return found


def _is_known(future: "asyncio.Future[Any]", known: Collection["asyncio.Future[Any]"]) -> bool:
    """Whether the future is over, is one of `known`, or gathers only such."""
    if future.done() or future in known:
        return True
    return type(future).__name__ == "_GatheringFuture" and all(_is_known(one, known) for one in future._children)  # type: ignore[attr-defined]


def _joins(coroutine: Any, known: Collection["asyncio.Future[Any]"]) -> bool:
    """Whether the coroutine stands in asyncio's own code that waits for other tasks, and for nothing but `known`."""
    while inspect.iscoroutine(coroutine):
        code = coroutine.cr_code
        if code.co_name in _JOINING and code.co_filename in _JOINING_FILES:
            variables = inspect.getcoroutinelocals(coroutine)
            if variables.get("timeout") is not None:
                return False
            return all(_is_known(one, known) for name in _JOINED for one in variables.get(name) or ())
        coroutine = coroutine.cr_await
    return False


def register_tasks(loop: asyncio.AbstractEventLoop, register: Callable[["asyncio.Task[Any]"], None]) -> None:
    """Have every task of this loop registered when it is made, in the context of the code that makes it."""

    def make(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
        task = asyncio.Task(coroutine, loop=loop, **options)
        register(task)
        return task

    loop.set_task_factory(make)  # type: ignore[arg-type]
