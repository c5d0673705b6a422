"""What the core asks of the world. Adapters implement these; tests hold each adapter to the same suite."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from penstock.domain.execution.facts import AnyFact, Enqueued, Unknown
from penstock.domain.execution.state import Execution
from penstock.domain.function.options import FunctionSpec
from penstock.domain.system import AnySystemFact

Clock = Callable[[], int]
"""Microseconds since the epoch, UTC."""

Dice = Callable[[], float]
"""A number in [0, 1)."""


class Conflict(Exception):  # noqa: N818
    """The history moved on: the append was refused. Read, decide again, append over the new sequence."""


class Unavailable(Exception):  # noqa: N818
    """The log could not be reached, or did not answer in time and the fact was not found afterwards."""


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of one execution, stored together, expecting that its last fact stands at `expected` (0: none yet)."""

    execution_id: str
    function: str
    facts: Sequence[AnyFact]
    expected: int
    is_awaited: bool = False
    """Somebody acts on its end even when it succeeds."""


class Recorded(NamedTuple):
    """One stored fact and where it stands."""

    execution_id: str
    function: str
    sequence: int
    fact: AnyFact | Unknown


class LogEntry(NamedTuple):
    """One message of the log as it is followed: `subject` tells what it is, `data` is decoded by whoever wants it."""

    sequence: int
    subject: str
    data: bytes


class Loaded(NamedTuple):
    """One execution: its first fact, its state, and the number of the fact at which its snapshot stands (0: none)."""

    first: Enqueued
    state: Execution
    snapshot: int


class ExecutionLog(Protocol):
    """The truth: append with an expectation, read one execution, follow everything."""

    async def append(self, entry: Append) -> int:
        """Store the facts and answer with the sequence of the last. Raises Conflict or Unavailable."""

    async def append_many(self, entries: Sequence[Append]) -> list[int | Conflict | Unavailable]:
        """The same for many executions at once, one verdict each, in order. An execution may occur once."""

    async def read(self, execution_id: str, function: str, after: int = 0) -> list[Recorded]:
        """The facts of one execution in order, those beyond a sequence only; empty if there are none."""

    async def first(self, execution_id: str, function: str) -> Recorded | None:
        """The first fact of an execution that was not runnable at once: one read where all of them take three."""

    async def load(self, execution_id: str, function: str) -> Loaded | None:
        """The execution as the facts have it, by a snapshot and what came after where there is one."""

    async def keep(self, first: Enqueued, state: Execution) -> None:
        """Store a snapshot of a long execution."""

    async def drop_kept(self, execution_id: str) -> None:
        """Forget the snapshot of an execution that has ended."""

    async def function_of(self, execution_id: str) -> str | None:
        """The function of an execution; None when the log has nothing of it. Slower than knowing it."""

    async def find(self, execution_id: str) -> list[Recorded]:
        """The same when the function is not known; slower."""

    async def append_system(self, kind: str, key: str, fact: AnySystemFact, expected: int | None = None) -> int:
        """Store a fact about the system under `kind` and `key` (subject tokens), optionally expecting its last
        sequence.
        """

    def follow(self, after: int) -> AsyncIterator[list[LogEntry]]:
        """All entries after the sequence, in batches, then live. Survives reconnects without gap or repeat."""

    async def last_sequence(self) -> int:
        """Position of the newest entry; 0 when empty."""


class Timers(Protocol):
    """Wake-ups kept by the server. They hold no truth: losing one is repaired from the log."""

    async def set(self, execution_id: str, wait: str, at: int) -> None:
        """Fire at `at` (µs since the epoch); a later call for the same wait replaces the earlier."""

    async def clear(self, execution_id: str, wait: str) -> None:
        """Forget it; nothing happens if there is none."""


class Registry(Protocol):
    """The functions that runners have declared. A cache rebuilt from `function_declared` facts."""

    def get(self, name: str) -> FunctionSpec | None: ...

    def all(self) -> list[FunctionSpec]: ...


class ObjectStore(Protocol):
    """Large values by name (claim check)."""

    async def put(self, name: str, data: bytes) -> None: ...

    async def get(self, name: str) -> bytes: ...


class Item(Protocol):
    """One runnable activation taken from the log: the run fact's bytes and position, and the ways to settle it."""

    execution_id: str
    function: str
    sequence: int
    deliveries: int
    data: bytes

    async def ack(self) -> None:
        """It is done with: its activation is closed."""

    async def in_progress(self) -> None:
        """It is still being worked on; starts the redelivery clock anew."""

    async def give_back(self, delay_seconds: float = 0.0) -> None:
        """Deliver it again after the delay, perhaps elsewhere."""


class WorkSource(Protocol):
    """Runnable activations of one function."""

    async def take(self, limit: int) -> list[Item]:
        """Up to `limit` items, waiting for the first. Empty only after `stop`."""

    async def stop(self) -> None:
        """Take no more; a running `take` returns."""


class Leases(Protocol):
    """Proof of life. A holder renews well within the lease time; everybody else can look."""

    async def renew(self, holder: str) -> None: ...

    async def release(self, holder: str) -> None: ...

    async def is_alive(self, holder: str) -> bool: ...
