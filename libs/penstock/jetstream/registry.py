"""The functions that runners have declared: facts in the log, cached in a bucket, held in memory by every reader."""

import asyncio
import difflib
import time
from collections.abc import Callable, Iterable

import msgspec
import structlog

from penstock.domain.function.options import FunctionSpec
from penstock.domain.system import FunctionDeclared
from penstock.jetstream.connect import Connection
from penstock.jetstream.follow import follow
from penstock.jetstream.log import JetStreamLog
from penstock.jetstream.reader import StoredMessage
from penstock.ports import Clock, Conflict, Unavailable
from penstock.wire import names as wire
from penstock.wire.codec import decode_system_fact
from penstock.wire.names import Names

logger = structlog.get_logger("penstock")

KIND = "function_declared"
TRIES_MAX = 20
NEAR_MAX = 3


class Cached(msgspec.Struct, frozen=True):
    """A value of the bucket: the declaration, and where in the log it stands. Of two, the later one counts."""

    sequence: int
    spec: FunctionSpec


def now_us() -> int:
    return time.time_ns() // 1000


class FunctionRegistry:
    """ports.Registry. Look-ups are local; a declaration made anywhere is here within a fraction of a second."""

    def __init__(self, connection: Connection, names: Names, log: JetStreamLog, clock: Clock = now_us) -> None:
        self._connection = connection
        self._names = names
        self._log = log
        self._clock = clock
        self._known: dict[str, Cached] = {}
        self._watching: asyncio.Task[None] | None = None
        self._arrived: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Load what is declared, then keep up. Raises Unavailable."""
        stored = await self._log.reader.subject(self._names.registry_stream, self._names.registry_subject("*"))
        for message in stored:
            self._take(message.data)
        if not stored:
            await self._rebuild()
        position = stored[-1].sequence if stored else 0
        self._watching = asyncio.create_task(self._watch(position), name="registry")

    async def close(self) -> None:
        """Stop keeping up."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})

    def get(self, name: str) -> FunctionSpec | None:
        """The function as declared last, or None."""
        cached = self._known.get(name)
        return cached.spec if cached is not None else None

    def all(self) -> list[FunctionSpec]:
        """All functions in order of their names."""
        return [self._known[name].spec for name in sorted(self._known)]

    def near(self, name: str) -> list[str]:
        """Names that a mistyped one may have meant, best first."""
        by_lower = {known.lower(): known for known in self._known}
        found = difflib.get_close_matches(name.lower()[:64], by_lower, n=NEAR_MAX, cutoff=0.5)
        return [by_lower[each] for each in found]

    async def wait_for(self, name: str, timeout: float) -> FunctionSpec | None:
        """The function as soon as it is declared, or None after the timeout (seconds)."""
        changed = asyncio.Event()
        self._arrived.append(changed.set)
        try:
            async with asyncio.timeout(timeout):
                while (spec := self.get(name)) is None:
                    changed.clear()
                    await changed.wait()
                return spec
        except TimeoutError:
            return None
        finally:
            self._arrived.remove(changed.set)

    async def declare(self, spec: FunctionSpec, runner: str) -> None:
        """Make the function known, with a fact only if it differs from what the log has. Raises Unavailable."""
        for _ in range(TRIES_MAX):
            stored = await self._log.read_system(KIND, spec.name)
            declared = _declared(stored)
            if stored is not None and declared == spec:
                return await self._cache(Cached(stored.sequence, spec))
            fact = FunctionDeclared(at=self._clock(), spec=spec, runner=runner)
            expected = stored.sequence if stored is not None else 0
            try:
                sequence = await self._log.append_system(KIND, spec.name, fact, expected)
            except Conflict:
                continue  # another runner declared it meanwhile, or our own answer was lost: compare again
            return await self._cache(Cached(sequence, spec))
        raise Unavailable(f"function {spec.name} was declared by others {TRIES_MAX} times in a row")

    async def _cache(self, cached: Cached) -> None:
        """Put it into the bucket unless a later declaration is there already."""
        self._keep(cached)
        subject = self._names.registry_subject(cached.spec.name)
        for _ in range(TRIES_MAX):
            stored = await self._log.reader.last(self._names.registry_stream, subject)
            present = _cached(stored.data) if stored is not None else None
            if present is not None and present.sequence >= cached.sequence:
                return
            expected = {wire.EXPECTED_SEQUENCE: str(stored.sequence if stored is not None else 0)}
            try:
                await self._log.publisher.publish(subject, msgspec.json.encode(cached), expected)
            except Conflict:
                continue
            return

    async def _rebuild(self) -> None:
        """The bucket is a cache: without it the log tells the same, more slowly."""
        subject = self._names.system_subject(KIND, "*")
        for message in await self._log.reader.subject(self._names.executions, subject):
            spec = _declared(message)
            if spec is not None:
                self._keep(Cached(message.sequence, spec))

    async def _watch(self, position: int) -> None:
        async for batch in follow(self._connection, self._names.registry_stream, position):
            self._take_all(entry.data for entry in batch)

    def _take_all(self, values: Iterable[bytes]) -> None:
        for data in values:
            self._take(data)

    def _take(self, data: bytes) -> None:
        cached = _cached(data)
        if cached is not None:
            self._keep(cached)

    def _keep(self, cached: Cached) -> None:
        present = self._known.get(cached.spec.name)
        if present is None or present.sequence < cached.sequence:
            self._known[cached.spec.name] = cached
            for notify in self._arrived:
                notify()


def _declared(message: StoredMessage | None) -> FunctionSpec | None:
    fact = decode_system_fact(message.data) if message is not None else None
    return fact.spec if isinstance(fact, FunctionDeclared) else None


def _cached(data: bytes) -> Cached | None:
    try:
        return msgspec.json.decode(data, type=Cached)
    except msgspec.DecodeError as error:
        # Deleted by hand, or written by a version yet to come.
        logger.warning("registry_unreadable", error=str(error))
        return None
