"""The execution log on JetStream: conditional appends, reads of one execution, and following everything."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import nats.js.errors
from msgspec.structs import replace
from nats.errors import Error as NatsError

from penstock.domain.system import AnySystemFact
from penstock.jetstream.commit import GroupCommit
from penstock.jetstream.connect import Connection
from penstock.jetstream.follow import follow
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import DirectReader, StoredMessage
from penstock.ports import Append, Conflict, LogEntry, Recorded, Unavailable
from penstock.wire import names as wire
from penstock.wire.codec import decode_fact, encode_system_fact
from penstock.wire.names import Names


class JetStreamLog:
    """ports.ExecutionLog on the stream EXECUTIONS."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self.connection = connection
        self.names = names
        self.publisher = Publisher(connection)
        self.reader = DirectReader(connection)
        self._commit = GroupCommit(self.publisher, names, self._read_back)

    async def close(self) -> None:
        """Wait for appends under way."""
        await self._commit.close()

    async def append(self, entry: Append) -> int:
        """Store the facts and answer with the sequence of the last. Raises Conflict or Unavailable."""
        return await self._commit.add(entry)

    async def append_many(self, entries: Sequence[Append]) -> list[int | Conflict | Unavailable]:
        """The same for many executions at once, one verdict each, in order. An execution may occur once."""
        futures = [self._commit.add(entry) for entry in entries]
        verdicts: list[int | Conflict | Unavailable] = []
        for future in futures:
            try:
                verdicts.append(await future)
            except (Conflict, Unavailable) as refusal:
                verdicts.append(refusal)
        return verdicts

    async def read(self, execution_id: str, function: str) -> list[Recorded]:
        """All facts of one execution in order; empty if there are none."""
        subjects = self.names.fact_subjects(execution_id, function)
        parts = await asyncio.gather(*(self.reader.subject(self.names.executions, each) for each in subjects))
        found = sorted((message for part in parts for message in part), key=lambda message: message.sequence)
        return [self._recorded(message) for message in found]

    async def find(self, execution_id: str) -> list[Recorded]:
        """The same when the function is not known: a wildcard look-up tells it, which is slower in a long log."""
        last = await self.reader.last(self.names.executions, self.names.history_filter(execution_id))
        parsed = self.names.parse_fact_subject(last.subject) if last is not None else None
        return await self.read(execution_id, parsed[2]) if parsed is not None else []

    async def append_system(self, kind: str, key: str, fact: AnySystemFact, expected: int | None = None) -> int:
        """Store a fact about the system under `kind` and `key`. Raises Conflict or Unavailable."""
        subject = self.names.system_subject(kind, key)
        fact = replace(fact, id=self._commit.next_id())
        headers = None if expected is None else {wire.EXPECTED_SEQUENCE: str(expected)}
        return await self.publisher.publish(subject, encode_system_fact(fact), headers)

    async def read_system(self, kind: str, key: str) -> StoredMessage | None:
        """The newest fact under `kind` and `key`."""
        return await self.reader.last(self.names.executions, self.names.system_subject(kind, key))

    def follow(self, after: int) -> AsyncIterator[list[LogEntry]]:
        """All entries after the sequence, in batches, then live. Survives reconnects without gap or repeat."""
        return follow(self.connection, self.names.executions, after)

    async def last_sequence(self) -> int:
        """Position of the newest entry; 0 when empty."""
        try:
            info = await self.connection.js.stream_info(self.names.executions)
        except (NatsError, nats.js.errors.Error) as error:
            raise Unavailable(f"stream {self.names.executions}: {error}") from None
        return info.state.last_seq

    def _recorded(self, message: StoredMessage) -> Recorded:
        parsed = self.names.parse_fact_subject(message.subject)
        assert parsed is not None
        return Recorded(parsed[0], parsed[2], message.sequence, decode_fact(message.data))

    async def _read_back(self, entry: Append, fact_id: str) -> int | None:
        """Where the last fact of our own append stands, if it was stored after all."""
        for recorded in await self.read(entry.execution_id, entry.function):
            if recorded.fact.id == fact_id:
                return recorded.sequence
        return None
