"""Whether the embedded nats-server has given up writing: after a full disk it refuses all until it is started again."""

import shutil
from pathlib import Path

MARK = b"Critical write error"
"""What it logs then. Nothing else tells: its connections stay, and it answers to pings."""
ROOM_BYTES_MIN = 32 * 1024 * 1024
"""With less than this it would only give up once more."""


class WriteErrors:
    """Reads what is added to the log of the server from now on."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = self._size()

    def seen(self) -> bool:
        """Whether the server gave up since the last look."""
        if self._size() < self._read:
            # A new file has taken its place.
            self._read = 0
        try:
            with self._log.open("rb") as file:
                file.seek(self._read)
                added = file.read()
        except OSError:
            return False
        self._read += len(added)
        return MARK in added

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0


def has_room(directory: Path) -> bool:
    """Whether it is worth trying again."""
    return shutil.disk_usage(directory).free >= ROOM_BYTES_MIN
