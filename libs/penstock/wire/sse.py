"""Server-sent events as the stream of changes writes and reads them: one writer, one parser. Pure."""

from typing import NamedTuple

MEDIA_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"


class ServerEvent(NamedTuple):
    """One block. `event` and `data` are empty for one that only moves the position `id`."""

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
    """Makes blocks of lines, as far as our own stream needs it."""

    def __init__(self) -> None:
        self.last_id = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, line: str) -> ServerEvent | None:
        """One line without its end; answers with an event when the line completes one."""
        if line:
            self._field(line)
            return None
        event, data = self._event, "\n".join(self._data)
        self._event, self._data = "", []
        return ServerEvent(self.last_id, event or "message", data) if data else None

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            self.last_id = value
