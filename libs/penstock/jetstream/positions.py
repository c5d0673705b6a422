"""How far each reader of the log has got with what it does outside of it, such as sending spans to a collector."""

from penstock.jetstream.connect import Connection
from penstock.jetstream.publisher import Publisher
from penstock.jetstream.reader import DirectReader
from penstock.wire.names import Names


class Positions:
    """Reader -> log position, in a bucket."""

    def __init__(self, connection: Connection, names: Names) -> None:
        self._names = names
        self._publisher = Publisher(connection)
        self._reader = DirectReader(connection)

    async def load(self, reader: str) -> int | None:
        """The stored position; None if there is none yet. Raises Unavailable."""
        stored = await self._reader.last(self._names.positions_stream, self._names.position_subject(reader))
        return int(stored.data) if stored is not None else None

    async def store(self, reader: str, position: int) -> None:
        """Everything up to there is done with. Raises Unavailable."""
        await self._publisher.publish(self._names.position_subject(reader), str(position).encode())

    async def load_pair(self, reader: str) -> tuple[int, int] | None:
        """The same for a reader of two streams: its positions in the log and in the other one."""
        stored = await self._reader.last(self._names.positions_stream, self._names.position_subject(reader))
        if stored is None:
            return None
        in_log, _, elsewhere = stored.data.partition(b" ")
        return int(in_log), int(elsewhere)

    async def store_pair(self, reader: str, in_log: int, elsewhere: int) -> None:
        """What was in the log up to there has been held against all of the other stream up to there."""
        await self._publisher.publish(self._names.position_subject(reader), b"%d %d" % (in_log, elsewhere))
