"""The runner's end of a worker process's stdout and stderr: what comes out of the descriptors, also while it dies."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

READ_BYTES = 64 * 1024

Take = Callable[[str, bytes], None]


class OutputPipe:
    """One descriptor. `take` gets the bytes with the name of the stream."""

    def __init__(self, stream: str, take: Take) -> None:
        self._stream = stream
        self._take = take
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._on_readable)
        self._open = True

    def started(self) -> None:
        """The process has its copy; ours would keep the pipe open after its death."""
        os.close(self.writer)

    def drain(self) -> None:
        """Take all that was written until now; bounded by what the kernel's buffer holds."""
        for _ in range(32):
            if not self._on_readable():
                return

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._reader)
            with suppress(OSError):
                os.close(self._reader)

    def _on_readable(self) -> bool:
        if not self._open:
            return False
        try:
            data = os.read(self._reader, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self._take(self._stream, data)
        return True
