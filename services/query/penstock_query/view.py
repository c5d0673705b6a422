"""What the routes answer from: the view, the log behind it, and the waits that connect the two."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from penstock.domain.errors import Rejected
from penstock.domain.execution.state import Execution
from penstock.domain.ids import is_execution_id
from penstock.domain.limits import wait_seconds_max
from penstock.handle import fold_recorded
from penstock.jetstream.lines import StoredLine
from penstock.ports import Loaded, Recorded
from penstock_query.progress import Progress
from penstock_query.queries import After
from penstock_query.reads import Reads

logger = structlog.get_logger("penstock.query")

POLL_SECONDS = 0.05


class Log(Protocol):
    """Reading one execution's facts."""

    async def read(self, execution_id: str, function: str, after: int = 0) -> list[Recorded]: ...

    async def find(self, execution_id: str) -> list[Recorded]: ...

    async def load(self, execution_id: str, function: str) -> Loaded | None: ...

    async def function_of(self, execution_id: str) -> str | None: ...

    async def last_sequence(self) -> int: ...


class Chunks(Protocol):
    """Large values in pieces."""

    def chunks(self, name: str) -> AsyncIterator[bytes]: ...


class Lines(Protocol):
    """Lines of user code."""

    async def read(self, execution_id: str, attempts: int, first: int = 1) -> list[StoredLine]: ...


@dataclass
class View:
    """Everything a read may need."""

    reads: Reads
    progress: Progress
    log: Log
    objects: Chunks
    lines: Lines
    trace_url: str = ""
    wait_seconds: float = wait_seconds_max

    async def reach(self, after: After | None) -> None:
        """Wait until the view has come so far. Raises Rejected `unavailable` when it takes too long."""
        if after is None:
            return
        if after.stream == "x":
            reached = await self.progress.reached(after.sequence, self.wait_seconds)
        else:
            reached = await self._event_seen(after.sequence)
        if not reached:
            raise Rejected(
                "unavailable",
                f"The view did not reach {after.stream}:{after.sequence} within {self.wait_seconds:g} s; it stands at "
                f"x:{self.progress.position}.",
                sequence=f"x:{self.progress.position}",
            )

    async def catch_up(self, seconds: float) -> None:
        """Wait until the view has what is in the log now, but no longer than that."""
        await self.progress.reached(await self.log.last_sequence(), seconds)

    async def _event_seen(self, sequence: int) -> bool:
        with self.progress.event(sequence) as waiter:
            if await self.reads.event_positions([sequence]):
                return True
            return await self.progress.wait(waiter, self.wait_seconds)

    async def execution(self, execution_id: str) -> tuple[Execution, int]:
        """The execution and the position that it reflects. One that the view does not have yet is read from the log."""
        _check(execution_id)
        state, position = await self.reads.execution(execution_id)
        if state is None:
            state = fold_recorded(await self.log.find(execution_id))
            if state is None:
                raise _unknown(execution_id)
            position = max(position, state.sequence)
        return state, position

    async def recorded(self, execution_id: str) -> list[Recorded]:
        """All facts of an execution, from the log."""
        _check(execution_id)
        state, _ = await self.reads.execution(execution_id)
        found = await (self.log.find(execution_id) if state is None else self.log.read(execution_id, state.function))
        if not found:
            raise _unknown(execution_id)
        return found

    async def present(self, execution_id: str) -> Execution:
        """The execution with all its operations as the log has it now; a long one by its snapshot."""
        _check(execution_id)
        known, _ = await self.reads.execution(execution_id)
        function = known.function if known is not None else await self.log.function_of(execution_id)
        loaded = await self.log.load(execution_id, function) if function is not None else None
        if loaded is None:
            raise _unknown(execution_id)
        return loaded.state

    async def final(self, execution_id: str, seconds: float) -> bool:
        """Wait for a final state; False when the time is over."""
        deadline = time.monotonic() + seconds
        with self.progress.final(execution_id) as waiter:
            state = fold_recorded(await self.recorded(execution_id))
            if state is not None and state.is_final:
                # The log is ahead of the view by a moment; readers of the view must see it too.
                return await self.progress.reached(state.sequence, max(0.0, deadline - time.monotonic()))
            return await self.progress.wait(waiter, max(0.0, deadline - time.monotonic()))

    async def poll(self, standing_by: asyncio.Event) -> None:
        """While another process projects (`standing_by`) and somebody waits, look into the database."""
        while True:
            await self.progress.watched.wait()
            await standing_by.wait()
            try:
                position = await self.reads.position()
                events = await self.reads.event_positions(self.progress.waiting_events)
                finals = await self.reads.final(self.progress.waiting_executions)
            except SQLAlchemyError as error:
                logger.warning("view_unreadable", error=type(error).__name__)
            else:
                self.progress.advance(position, events, finals)
            await asyncio.sleep(POLL_SECONDS)


def _check(execution_id: str) -> None:
    if not is_execution_id(execution_id):
        raise Rejected(
            "unknown_execution",
            f"An execution id is 32 lower-case hex digits, not all of them 0; this is {execution_id[:80]!r}.",
        )


def _unknown(execution_id: str) -> Rejected:
    return Rejected("unknown_execution", f"There is no execution {execution_id}.")
