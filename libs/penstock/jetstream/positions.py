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
