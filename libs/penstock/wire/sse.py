"""Server-sent events as the stream of changes writes and reads them: one writer, one parser. Pure."""

from typing import NamedTuple

MEDIA_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"


class ServerEvent(NamedTuple):
    """One event; `id` is its position."""

    id: str
    event: str
    data: str


def event_block(position: str, event: str, data: bytes) -> bytes:
    """An event; `data` is JSON and so has no line break."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (position.encode(), event.encode(), data)


def position_block(position: str, comment: str, retry_milliseconds: int | None = None) -> bytes:
    """A comment, and a position without an event: a reader that comes back goes on from there."""
    retry = f"retry: {retry_milliseconds}\n" if retry_milliseconds is not None else ""
    return f": {comment}\n{retry}id: {position}\n\n".encode()


class ServerEventParser:
    """Makes events of the bytes of one connection, as far as our own stream needs it.

    Lines end with a line feed only: a text may hold other characters that some libraries take for line ends.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        """Where to go on when the connection is lost: it moves with whole blocks only."""
        self._rest = b""
        self._id, self._event = last_id, ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that are complete with these bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = (self._line(line.decode()) for line in lines)
        return [event for event in found if event is not None]

    def _line(self, line: str) -> ServerEvent | None:
        if line:
            self._field(line)
            return None
        event, data = self._event, "\n".join(self._data)
        self._event, self._data, self.last_id = "", [], self._id
        return ServerEvent(self.last_id, event or "message", data) if data else None

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            self._id = value
