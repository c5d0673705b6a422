"""What the end of an execution means to its family: its parent is told, and children that it leaves are cancelled."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from penstock.domain.errors import Rejected
from penstock.domain.execution.children import to_cancel
from penstock.domain.execution.commands import CompleteChild, RequestCancel
from penstock.domain.execution.facts import Child, Succeeded
from penstock.domain.execution.state import Execution
from penstock.handle import Handled
from penstock.ports import Clock, Unavailable
from penstock_scheduler.carrier import Carrier
from penstock_scheduler.ends import Ended

TOLD_MAX = 50
"""Children of one parent told of in one append."""
TOLD_BYTES = 512 * 1024
CANCELS_MAX = 100
FUNCTIONS_KEPT = 2_000
YOUNG_SECONDS = 30
"""So long a child that does not exist may still be on its way: its parent's runner makes it after saying so."""


class _News(NamedTuple):
    """One ended child, and who wants to know that its parent was told."""

    command: CompleteChild
    told: asyncio.Future[None]


class Families:
    """Two handlers of ends."""

    def __init__(self, carrier: Carrier, clock: Clock) -> None:
        self._carrier = carrier
        self._clock = clock
        self._news: dict[str, list[_News]] = {}
        """Parent -> children that ended while it is being told of others."""
        self._tellers: set[asyncio.Task[None]] = set()
        self._functions: OrderedDict[str, str] = OrderedDict()
        """Parent -> its function, which saves looking for it in the log."""
        self._room = asyncio.Semaphore(CANCELS_MAX)

    async def tell_parent(self, ended: Ended) -> None:
        """Append `child_completed` to the parent, if it waits for this child. Raises Unavailable."""
        if ended.state.parent_id is not None:
            await self.tell(ended.state.parent_id, ended)

    async def tell(self, parent: str, ended: Ended) -> None:
        """The same for a parent that need not be the first. Raises Unavailable."""
        state, last = ended.state, ended.last
        command = CompleteChild(child=state.id, state=str(state.state), error=state.error)
        if isinstance(last, Succeeded):
            command = CompleteChild(
                child=state.id, state=str(state.state), result=last.result, result_ref=last.result_ref
            )  # fmt: skip
        news = _News(command, asyncio.get_running_loop().create_future())
        if parent in self._news:
            self._news[parent].append(news)
        else:
            self._news[parent] = [news]
            teller = asyncio.create_task(self._tell(parent))
            self._tellers.add(teller)
            teller.add_done_callback(self._tellers.discard)
        await news.told

    async def cancel_children(self, ended: Ended) -> None:
        """Ask the children that this end leaves behind to stop. Raises Unavailable."""
        children = to_cancel(ended.state)
        answers = await asyncio.gather(
            *(self._cancel(child, ended.state) for child in children), return_exceptions=True
        )  # fmt: skip
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _tell(self, parent: str) -> None:
        """Tell one parent of its ended children, many at a time: its history has one writer at a time."""
        while waiting := self._news[parent]:
            chunk = _chunk(waiting)
            del waiting[: len(chunk)]
            try:
                await self._complete(parent, [news.command for news in chunk])
            except Exception as error:
                _answer(chunk, error)
            else:
                _answer(chunk, None)
        del self._news[parent]

    async def _complete(self, parent: str, commands: Sequence[CompleteChild]) -> None:
        verdicts = await self._carrier.carry_out_all(parent, commands, self._functions.get(parent))
        # A parent of which nothing is known any more rejects them: nobody is left to be told.
        for verdict in verdicts:
            if isinstance(verdict, Handled):
                self._functions[parent] = verdict.state.function
                self._functions.move_to_end(parent)
        while len(self._functions) > FUNCTIONS_KEPT:
            self._functions.popitem(last=False)

    async def _cancel(self, child: Child, parent: Execution) -> None:
        async with self._room:
            state = await self._carrier.load(child.id, child.function)
            if state is not None and state.parent_id != parent.id:
                return  # an idempotency key led to it: it is the child of somebody else, who still wants it
            try:
                await self._carrier.carry_out(
                    child.id, RequestCancel(force=parent.cancel_forced), child.function, state
                )  # fmt: skip
            except Rejected as refusal:
                ended_at = parent.finished_at or 0
                is_young = self._clock() - ended_at < YOUNG_SECONDS * 1_000_000
                if refusal.code == "unknown_execution" and is_young:
                    raise Unavailable(f"child {child.id} of {parent.id} is not made yet") from None


def _answer(chunk: Sequence[_News], error: Exception | None) -> None:
    for news in chunk:
        if news.told.done():
            continue  # whoever asked has gone
        if error is None:
            news.told.set_result(None)
        else:
            news.told.set_exception(error)


def _chunk(waiting: Sequence[_News]) -> Sequence[_News]:
    """The first of them that go into one append together."""
    size = 0
    for count, news in enumerate(waiting[:TOLD_MAX]):
        size += len(bytes(news.command.result))
        if count and size > TOLD_BYTES:
            return list(waiting[:count])
    return list(waiting[:TOLD_MAX])
