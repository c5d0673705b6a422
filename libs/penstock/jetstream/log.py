"""The execution log on JetStream: conditional appends, reads of one execution, and following everything."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import msgspec
import nats.js.errors
import structlog
from msgspec.structs import replace
from nats.errors import Error as NatsError

from penstock.domain.execution.facts import AnyFact, Enqueued, Unknown, is_end, opens_activation
from penstock.domain.execution.snapshot import decode_snapshot, encode_snapshot
from penstock.domain.execution.state import Execution
from penstock.domain.system import AnySystemFact
from penstock.handle import fold_recorded
from penstock.jetstream.commit import GroupCommit, Message, ReadBack
from penstock.jetstream.connect import Connection
from penstock.jetstream.follow import follow
from penstock.jetstream.objects import PayloadDamaged, PayloadMissing, Payloads
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import BATCH, DirectReader, StoredMessage
from penstock.ports import Append, Conflict, Loaded, LogEntry, Recorded, Unavailable
from penstock.wire.codec import decode_fact, decode_system_fact, encode_fact, encode_system_fact
from penstock.wire.names import FactClass, Names

logger = structlog.get_logger("penstock")

HOLE_TRIES = 5
"""A hole that stays was made by hand; the facts are then taken as they are."""


class JetStreamLog:
    """ports.ExecutionLog on the stream EXECUTIONS."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self.connection = connection
        self.names = names
        self.publisher = Publisher(connection)
        self.reader = DirectReader(connection)
        self._commit = GroupCommit(self.publisher)
        self._payloads = Payloads(connection, names)

    async def close(self) -> None:
        """Wait for appends under way."""
        await self._commit.close()

    async def append(self, entry: Append) -> int:
        """Store the facts and answer with the sequence of the last. Raises Conflict or Unavailable."""
        return await self._add(entry)

    async def append_many(self, entries: Sequence[Append]) -> list[int | Conflict | Unavailable]:
        """The same for many executions at once, one verdict each, in order. An execution may occur once."""
        futures = [self._add(entry) for entry in entries]
        verdicts: list[int | Conflict | Unavailable] = []
        for future in futures:
            try:
                verdicts.append(await future)
            except (Conflict, Unavailable) as refusal:
                verdicts.append(refusal)
        return verdicts

    async def read(self, execution_id: str, function: str, after: int = 0) -> list[Recorded]:
        """The facts of one execution in order, those beyond a sequence only; empty if there are none."""
        subjects = self.names.fact_subjects(execution_id, function)
        for _ in range(HOLE_TRIES):
            reads = (self.reader.subject(self.names.executions, each, start=after + 1) for each in subjects)
            parts = await asyncio.gather(*reads)
            found = self._recorded(execution_id, function, [message for part in parts for message in part])
            if not _has_hole(found):
                break
        return found

    async def first(self, execution_id: str, function: str) -> Recorded | None:
        """The first fact of an execution that was not runnable at once, so that it is no run fact."""
        subject = self.names.fact_subject(execution_id, function, "fact")
        found = self._recorded(
            execution_id, function, await self.reader.subject(self.names.executions, subject, limit=1)
        )
        return found[0] if found else None

    def _recorded(self, execution_id: str, function: str, found: list[StoredMessage]) -> list[Recorded]:
        found.sort(key=lambda message: message.sequence)
        recorded: list[Recorded] = []
        for message in found:
            fact = self._fact(message, recorded[-1].fact if recorded else None)
            if fact is not None:
                recorded.append(Recorded(execution_id, function, message.sequence, fact))
        return recorded

    async def load(self, execution_id: str, function: str) -> Loaded | None:
        """The execution as the facts have it; None when its first fact is not there. Raises Unavailable."""
        subjects = self.names.fact_subjects(execution_id, function)
        stream = self.names.executions
        parts = await asyncio.gather(*(self.reader.subject(stream, each, limit=BATCH) for each in subjects))
        kept = None
        if any(len(part) == BATCH for part in parts):
            kept = await self._kept(execution_id)
        if kept is not None:
            first, state = kept
            newer = await self.read(execution_id, function, after=state.sequence)
            return Loaded(first, fold_recorded(newer, state) or state, state.n)
        recorded = self._recorded(execution_id, function, [message for part in parts for message in part])
        if max(map(len, parts)) == BATCH or _has_hole(recorded):
            recorded = await self.read(execution_id, function)
        if not recorded or not isinstance(recorded[0].fact, Enqueued):
            return None
        state_or_none = fold_recorded(recorded)
        assert state_or_none is not None
        return Loaded(recorded[0].fact, state_or_none, 0)

    async def _kept(self, execution_id: str) -> tuple[Enqueued, Execution] | None:
        try:
            return decode_snapshot(await self._payloads.get(_snapshot_name(execution_id)))
        except (PayloadMissing, PayloadDamaged):
            # There is none yet, or a newer one took its place just now: the facts tell the same.
            return None

    async def keep(self, first: Enqueued, state: Execution) -> None:
        """Store a snapshot of a long execution. Raises Unavailable."""
        await self._payloads.put(_snapshot_name(state.id), encode_snapshot(first, state))

    async def drop_kept(self, execution_id: str) -> None:
        """Forget the snapshot of an execution that has ended. Raises Unavailable."""
        await self._payloads.remove(_snapshot_name(execution_id))

    async def find(self, execution_id: str) -> list[Recorded]:
        """The same when the function is not known: a wildcard look-up tells it, which is slower in a long log."""
        function = await self.function_of(execution_id)
        return await self.read(execution_id, function) if function is not None else []

    async def function_of(self, execution_id: str) -> str | None:
        """The function of an execution; None when the log has nothing of it."""
        last = await self.reader.last(self.names.executions, self.names.history_filter(execution_id))
        parsed = self.names.parse_fact_subject(last.subject) if last is not None else None
        return parsed[2] if parsed is not None else None

    async def append_system(self, kind: str, key: str, fact: AnySystemFact, expected: int | None = None) -> int:
        """Store a fact about the system under `kind` and `key`. Raises Conflict or Unavailable."""
        subject = self.names.system_subject(kind, key)
        fact_id = self._commit.next_id()
        data = encode_system_fact(replace(fact, id=fact_id))
        if expected is None:
            return await self.publisher.publish(subject, data)

        async def read_back() -> int | None:
            last = await self.reader.last(self.names.executions, subject)
            stored = decode_system_fact(last.data) if last is not None else None
            return last.sequence if last is not None and stored is not None and stored.id == fact_id else None

        return await self._commit.add([Message(subject, data, subject, expected)], read_back)

    async def append_fenced(self, subject: str, head: AnySystemFact, expected: int, entries: Sequence[Append]) -> int:
        """Store a head and the facts behind it as one atomic batch, if `expected` is the last sequence on `subject`.

        Answers with the sequence of the head. Raises Conflict when the head or any of the facts was refused, and
        Unavailable; the outcome may then be unknown, and the log tells it.
        """
        data = encode_system_fact(replace(head, id=self._commit.next_id()))
        messages = [Message(subject, data, subject, expected)]
        for entry in entries:
            messages.extend(self._encoded(entry)[0])
        return await self._commit.add_alone(messages) - len(messages) + 1

    async def append_group(self, messages: Sequence[Message], read_back: ReadBack) -> int:
        """Store facts of several histories together or not at all; answers with the sequence of the last.

        `read_back` tells where the last stands if it was stored after all. Raises Conflict when a history has moved on,
        and Unavailable.
        """
        return await self._commit.add(messages, read_back)

    def next_id(self) -> str:
        """An id for a fact that no other act of publishing has."""
        return self._commit.next_id()

    async def read_system(self, kind: str, key: str) -> StoredMessage | None:
        """The newest fact under `kind` and `key`."""
        return await self.reader.last(self.names.executions, self.names.system_subject(kind, key))

    async def read_subject(self, subject: str) -> list[LogEntry]:
        """Everything on a literal subject, in order. Raises Unavailable."""
        found = await self.reader.subject(self.names.executions, subject)
        return [LogEntry(message.sequence, message.subject, message.data) for message in found]

    def follow(self, after: int, subject: str | None = None) -> AsyncIterator[list[LogEntry]]:
        """All entries after the sequence, in batches, then live; with `subject` only those on it (a filter).

        Survives reconnects without gap or repeat.
        """
        return follow(self.connection, self.names.executions, after, subject)

    async def last_sequence(self) -> int:
        """Position of the newest entry; 0 when empty."""
        try:
            info = await self.connection.js.stream_info(self.names.executions)
        except (NatsError, nats.js.errors.Error) as error:
            raise Unavailable(f"stream {self.names.executions}: {error}") from None
        return info.state.last_seq

    def _fact(self, message: StoredMessage, previous: AnyFact | Unknown | None) -> AnyFact | Unknown | None:
        """The fact. What is none still counts for the sequence that later appends expect; nothing begins with it."""
        try:
            return decode_fact(message.data)
        except msgspec.MsgspecError:
            logger.warning("malformed_fact", subject=message.subject, sequence=message.sequence)
            if previous is None:
                return None
            return Unknown(n=previous.n, at=previous.at, raw=msgspec.Raw(b"null"), name="malformed")

    def _add(self, entry: Append) -> asyncio.Future[int]:
        execution_id = entry.execution_id
        messages, fact_id = self._encoded(entry)

        async def read_back() -> int | None:
            for recorded in await self.read(execution_id, entry.function, after=entry.expected):
                if recorded.fact.id == fact_id:
                    return recorded.sequence
            return None

        return self._commit.add(messages, read_back)

    def _encoded(self, entry: Append) -> tuple[list[Message], str]:
        """A message for each fact, of which the first carries the expectation, and the id of the last fact."""
        messages: list[Message] = []
        fact_id, history = "", self.names.history_filter(entry.execution_id)
        for fact in entry.facts:
            fact_id = self._commit.next_id()
            kind: FactClass = "fact"
            if opens_activation(fact):
                kind = "run"
            elif is_end(fact, entry.is_awaited):
                kind = "end"
            subject = self.names.fact_subject(entry.execution_id, entry.function, kind)
            messages.append(Message(subject, encode_fact(replace(fact, id=fact_id)), history, entry.expected))
            history = ""
        return messages, fact_id


def _has_hole(found: Sequence[Recorded]) -> bool:
    """Whether a fact is missing in between: the subjects are read one by one while others append."""
    return any(later.fact.n > earlier.fact.n + 1 for earlier, later in pairwise(found))


def _snapshot_name(execution_id: str) -> str:
    return f"history-{execution_id}"
